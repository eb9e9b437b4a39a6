"""The gate on real checkpoints: what it has to tell apart, and what it must not be disturbed by."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from margin.demo import checkpoint_path, prompts_path
from margin.errors import IncomparableError
from margin.gate.check import check
from margin.gate.measurement import measure
from margin.gate.policy import Policy
from margin.inputs.prompts import load_prompts
from margin.run.run import Run
from margin.study.robustness import robustness
from tests.margin.gate.conftest import scaled_down

Collect = Callable[..., Run]
STEPS = 50
"""Of the co-training that is released."""

STRICT = Policy(max_drop=0.01)
"""Less than the 72 prompts can tell unasked: what is damaged a little has to be found."""


@pytest.mark.parametrize("how", [{"batch_tokens": 200}, {"dtype": "bfloat16"}, {"layers": "none"}])
def test_one_checkpoint_collected_in_two_ways_passes(
    collected: Collect, baseline_file: Path, how: dict[str, Any]
) -> None:
    verdict = check(collected("naive", **how), baseline_file)
    assert verdict.outcome == "pass", verdict.reason
    assert {claim.status for claim in verdict.claims} == {"held"}


def test_a_checkpoint_that_never_learnt_the_tokens_is_a_regression(
    regressed: Run, baseline_file: Path
) -> None:
    verdict = check(regressed, baseline_file)
    assert verdict.outcome == "regression"
    assert {claim.status for claim in verdict.claims} == {"broken"}


@pytest.mark.parametrize("model", ["naive", "baseline"])
def test_a_checkpoint_checked_against_itself_is_no_regression(collected: Collect, model: str) -> None:
    """Decoys feed leaks unasked: what never learnt the tokens leaks as much as it always did."""
    once = collected(model, decoys=5, controls=("random",))
    again = collected(model, decoys=5, controls=("random",), batch_tokens=200)
    verdict = check(again, measure(once), Policy(max_drop=0.05))
    assert verdict.outcome == {"naive": "pass", "baseline": "limit not met"}[model], verdict.reason
    leaks = {claim.name: claim for claim in verdict.claims if claim.kind == "leak"}
    assert set(leaks) == {"leak:random", "leak:decoy"}
    assert not any(claim.worse for claim in leaks.values() if claim.status == "broken")


@pytest.mark.parametrize("how", [{"unlearnt": 0.05}, {"noise": 0.1}])
def test_damaged_copies_are_regressions(
    collected: Collect, damaged: Callable[..., Any], baseline_file: Path, how: dict[str, float]
) -> None:
    verdict = check(collected(damaged(**how)), baseline_file, STRICT)
    assert verdict.outcome == "regression", verdict.reason


def test_a_co_training_ten_steps_short_and_an_adapter_scaled_down_are_regressions(
    collected: Collect, cotrained_again: Callable[..., tuple[Path, Path]], tmp_path: Path
) -> None:
    model, adapter = cotrained_again(STEPS)
    released = measure(collected(model, adapter=adapter))
    assert released.overall.estimate > 0.1
    assert check(collected(model, adapter=adapter, batch_tokens=200), released, STRICT).outcome == "pass"
    for worse in (cotrained_again(STEPS - 10)[1], scaled_down(adapter, 0.9, tmp_path / "scaled")):
        verdict = check(collected(model, adapter=worse), released, STRICT)
        assert verdict.outcome == "regression", verdict.reason
        assert "overall" in verdict.reason


def test_few_prompts_and_a_small_drop_are_inconclusive_and_enough_are_named(
    collected: Collect, damaged: Callable[..., Any]
) -> None:
    before = measure(collected("naive", limit=20))
    verdict = check(collected(damaged(unlearnt=0.01), limit=20), before, STRICT)
    assert verdict.outcome == "inconclusive", verdict.reason
    assert verdict.prompts_needed is not None
    assert verdict.prompts_needed > 20
    assert f"{verdict.prompts_needed:,} prompts" in verdict.reason


def test_what_was_asked_differently_is_incomparable_and_named(
    collected: Collect, baseline_file: Path, tmp_path: Path
) -> None:
    table = load_prompts(prompts_path()).table
    template = (checkpoint_path("naive") / "chat_template.jinja").read_text(encoding="utf-8")
    asked = {
        "prompts": {"prompts": table.iloc[100:172], "limit": None},
        "chat_template": {"chat_template": template + "{# the same, but who knows #}"},
        "response_prefix": {"response_prefix": "Well"},
    }
    for name, how in asked.items():
        with pytest.raises(IncomparableError, match=f"differ in .*{name}: "):
            check(collected("naive", **how), baseline_file)


def test_a_layer_the_run_does_not_hold_is_incomparable(collected: Collect, reference: Run) -> None:
    deepest = reference.layers[-1]
    with pytest.raises(IncomparableError, match=f"measured in layer:{deepest}, .* has logits, "):
        check(collected("naive", layers="none"), measure(reference, f"layer:{deepest}"))


def test_leaks_are_gated_where_the_run_has_controls(
    collected: Collect, reference: Run, baseline_file: Path
) -> None:
    run = collected("naive", controls=("none", "random"))
    before = measure(run)
    assert [leak.condition for leak in before.leaks] == ["none", "random"]
    assert before.overall.estimate == pytest.approx(measure(reference).overall.estimate, abs=1e-4)
    count = {leak.condition: leak.n_leaks for leak in before.leaks}
    found = robustness(run).points.query("leak").groupby("condition")["prompt_id"].nunique()
    assert count == {"none": found.get("none", 0), "random": found.get("random", 0)}
    for max_leak, outcomes in ((1.0, {"pass"}), (0.001, {"inconclusive", "regression"})):
        assert check(run, before, Policy(max_leak=max_leak)).outcome in outcomes
    with pytest.raises(IncomparableError, match="controls: "):
        check(run, baseline_file)
