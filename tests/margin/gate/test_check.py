"""What the gate says of releases whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from margin.errors import IncomparableError, MarginError
from margin.gate.check import decide
from margin.gate.evidence import AboveDecoys, Leak, Measurement
from margin.gate.limits import MOST_LEAK, MOST_SHARE, smallest_drop
from margin.gate.measurement import prompt_changes
from margin.gate.policy import Policy
from margin.gate.verdict import Verdict
from tests.margin.gate.releases import IDENTITY, Hang, Prompts, draw_prompts, measurement

GENEROUS = Policy(max_drop=0.03)


@pytest.fixture(scope="module")
def prompts() -> Prompts:
    return draw_prompts(120, np.random.default_rng(0))


@pytest.fixture(scope="module")
def before(prompts: Prompts) -> Measurement:
    return release(prompts)


def release(prompts: Prompts, strength: float = 1, seed: int = 1, **options: Any) -> Measurement:
    return measurement(prompts, prompts.points(strength, np.random.default_rng(seed), own=0.1), **options)


def statuses(verdict: Verdict) -> dict[str, str]:
    return {claim.name: claim.status for claim in verdict.claims}


def test_the_same_again_passes_with_nothing_allowed(before: Measurement) -> None:
    verdict = decide(before, before, Policy(max_drop=0))
    assert (verdict.outcome, verdict.exit_code, verdict.prompts_needed) == ("pass", 0, None)
    assert list(statuses(verdict)) == [
        "overall",
        "pos / neg",
        "pos / rej",
        "neg / rej",
        "language=en",
        "language=zh",
    ]
    assert verdict.worst_prompts.empty


def test_a_release_as_good_passes_and_a_weak_one_does_not(prompts: Prompts, before: Measurement) -> None:
    assert decide(before, release(prompts, seed=2), GENEROUS).outcome == "pass"
    verdict = decide(before, release(prompts, 0.6), GENEROUS)
    assert (verdict.outcome, verdict.exit_code) == ("regression", 1)
    assert "overall" in verdict.reason


def test_a_pair_that_collapsed_is_named(prompts: Prompts, before: Measurement) -> None:
    X = prompts.points(1, np.random.default_rng(1), own=0.1)
    X[2::3] = X[0::3] + 0.01  # rej answers as pos does
    verdict = decide(before, measurement(prompts, X), GENEROUS)
    assert statuses(verdict)["pos / rej"] == "broken"
    assert statuses(verdict)["pos / neg"] == "held"


def test_a_slice_that_fell_fails_the_gate_though_it_is_not_required(
    prompts: Prompts, before: Measurement
) -> None:
    zh = np.repeat((prompts.slices["language"] == "zh").to_numpy(), 3)
    strong, weak = (prompts.points(s, np.random.default_rng(1), own=0.1) for s in (1.0, 0.5))
    verdict = decide(
        before, measurement(prompts, np.where(zh[:, None], weak, strong)), Policy(max_drop=0.055)
    )
    assert verdict.outcome == "regression"
    assert [name for name, status in statuses(verdict).items() if status == "broken"] == ["language=zh"]


def test_slices_must_be_shown_to_hold_where_the_policy_says_so() -> None:
    few = draw_prompts(50, np.random.default_rng(0))  # 25 a language: too few for a claim
    before, after = release(few), release(few, seed=2)
    lenient = decide(before, after, Policy(max_drop=0.1))
    assert lenient.outcome == "pass"
    assert not any("language" in claim.name for claim in lenient.claims)
    strict = decide(before, after, Policy(max_drop=0.1, slices=("language",)))
    assert (strict.outcome, strict.exit_code) == ("inconclusive", 3)
    assert strict.prompts_needed == 60
    with pytest.raises(MarginError, match="no slices by topic: the run has language"):
        decide(before, after, Policy(slices=("topic",)))


def test_no_two_slices_have_one_name() -> None:
    drawn = draw_prompts(160, np.random.default_rng(0))
    values = [np.where(np.arange(160) % 2, one, "x") for one in ("b=c", "c", 'b"=c', "c")]
    columns = pd.DataFrame(dict(zip(("a", "a=b", '"a', '"a=b"'), values, strict=True)), drawn.slices.index)
    sliced = replace(drawn, slices=columns)
    verdict = decide(release(sliced), release(sliced, seed=2), GENEROUS)
    names = [claim.name for claim in verdict.claims if "c" in claim.name]
    assert len({*names}) == len(names) == 4
    assert names[:2] == ["a=b=c", '"a=b"=c']


def test_the_floor_is_asked_of_the_overall_margin(prompts: Prompts, before: Measurement) -> None:
    margin = before.overall.estimate
    high = margin + 0.05
    for floor, outcome in ((margin - 0.05, "pass"), (margin, "inconclusive"), (high, "limit not met")):
        assert decide(before, before, replace(GENEROUS, min_margin=floor)).outcome == outcome
    fell = decide(release(prompts, 0.6), before, Policy(max_drop=0.5, min_margin=high))
    assert fell.outcome == "limit not met"  # better than its baseline, and not enough
    fell = decide(before, release(prompts, 0.6), Policy(max_drop=0.5, min_margin=margin - 0.02))
    assert (fell.outcome, statuses(fell)["min-margin"]) == ("regression", "broken")


def test_leaks_are_claims_of_the_run_alone(prompts: Prompts) -> None:
    before = release(prompts, leaks=(Leak("random", 0, 400),))
    for n_leaks, outcome in ((0, "pass"), (2, "inconclusive"), (20, "regression")):
        after = release(prompts, leaks=(Leak("random", n_leaks, 400),))
        verdict = decide(before, after, GENEROUS)
        assert verdict.outcome == outcome
        assert ("leak:random" in verdict.reason) == (outcome != "pass")


@pytest.mark.parametrize(
    ("was", "now", "outcome"),
    [
        (0, 20, "regression"),  # the baseline met it
        (5, 60, "regression"),  # undecided in the baseline, and shown to leak more
        (60, 200, "regression"),  # over the limit before, and shown to leak more
        (60, 60, "limit not met"),  # the same again
        (60, 66, "limit not met"),  # no more than chance would have it
        (60, 30, "limit not met"),  # better, and not enough
        (60, 0, "pass"),
    ],
)
def test_a_limit_the_baseline_did_not_meet_is_no_regression(
    prompts: Prompts, was: int, now: int, outcome: str
) -> None:
    before, after = (release(prompts, leaks=(Leak("decoy", k, 400),)) for k in (was, now))
    verdict = decide(before, after, GENEROUS)
    assert verdict.outcome == outcome
    assert verdict.exit_code == {"pass": 0, "regression": 1, "limit not met": 5}[outcome]
    assert statuses(verdict)["leak:decoy"] == ("held" if outcome == "pass" else "broken")


def test_a_drop_is_a_regression_whatever_limit_is_not_met(prompts: Prompts) -> None:
    leaks = (Leak("decoy", 200, 400),)
    verdict = decide(release(prompts, leaks=leaks), release(prompts, 0.6, leaks=leaks), GENEROUS)
    assert verdict.outcome == "regression"


def test_an_indicative_leak_rate_is_shown_and_not_judged(prompts: Prompts) -> None:
    reliable, indicative = (
        release(prompts, leaks=(Leak("random", 300, 400, indicative=flag),)) for flag in (False, True)
    )
    shown = decide(indicative, indicative, GENEROUS)
    assert (shown.outcome, shown.reason) == ("pass", "every claim is shown to hold, but 1 not required")
    assert decide(indicative, reliable, GENEROUS).outcome == "limit not met"
    lost = decide(reliable, indicative, GENEROUS)
    assert (lost.outcome, lost.prompts_needed) == ("inconclusive", None)
    assert "told apart too badly" in lost.reason


@pytest.mark.parametrize(
    ("gone", "leaks", "outcome"),
    [
        (1, 0, "pass"),  # even if it leaks
        (300, 0, "inconclusive"),
        (300, 5, "inconclusive"),  # 5 of 400 if no other does
        (300, 90, "regression"),  # more than allowed, whatever became of the others
    ],
)
@pytest.mark.parametrize("max_leak", ["auto", 0.05])
def test_prompts_that_vanish_under_a_control_show_nothing(
    prompts: Prompts, gone: int, leaks: int, outcome: str, max_leak: float | str
) -> None:
    """As where thoughts do not end: 100 without a leak would show 0.03, and would be allowed 0.05 unasked."""
    before, after = (
        release(prompts, leaks=(Leak("random", k, n),)) for k, n in ((0, 400), (leaks, 400 - gone))
    )
    verdict = decide(before, after, replace(GENEROUS, max_leak=max_leak))
    assert verdict.outcome == outcome
    claim = next(claim for claim in verdict.claims if claim.kind == "leak")
    assert claim.missing == gone
    assert verdict.to_dict()["claims"][-1]["missing"] == gone
    if outcome == "inconclusive":
        assert verdict.prompts_needed is None
        assert "more --thought-tokens" in verdict.reason


def test_a_limit_that_is_not_asked_for_is_that_of_the_baselines_prompts(prompts: Prompts) -> None:
    before, after = (release(prompts, leaks=(Leak("random", 0, n),)) for n in (400, 100))
    limits = [
        next(claim.limit for claim in decide(before, now, GENEROUS).claims if claim.kind == "leak")
        for now in (before, after)
    ]
    assert limits[0] == limits[1] < MOST_LEAK


def test_below_the_noise_floor_it_refuses(before: Measurement) -> None:
    noisy = replace(before, noise_floor={"sam": 0.02})
    for pair in ((before, noisy), (noisy, before)):
        verdict = decide(*pair, Policy(max_drop=0.01))
        assert (verdict.outcome, verdict.exit_code) == ("inconclusive", 3)
        assert "0.02 (noise floor)" in verdict.reason
    assert decide(before, noisy, Policy(max_drop=0.02)).outcome == "pass"


@pytest.mark.parametrize(
    "name", sorted(set(IDENTITY) - {"model", "weights", "dtype", "attention", "layers", "chat_kwargs"})
)
def test_what_was_asked_has_to_be_the_same(prompts: Prompts, before: Measurement, name: str) -> None:
    with pytest.raises(IncomparableError, match=f"differ in {name}: ") as error:
        decide(before, release(prompts, identity={name: "other"}), GENEROUS)
    assert "\n" not in str(error.value)
    assert ": collect with " in str(error.value)


def test_every_difference_is_named(prompts: Prompts, before: Measurement) -> None:
    other = replace(
        release(prompts, identity={"chat_kwargs": {"enable_thinking": True}}, leaks=(Leak("random", 0, 9),)),
        space="state",
        distance="euclidean",
    )
    with pytest.raises(IncomparableError) as error:
        decide(before, other, GENEROUS)
    for name in ("space", "distance", "chat_kwargs.enable_thinking", "controls"):
        assert f"{name}: " in str(error.value)
    assert "check with the space the baseline was measured in, the distance" in str(error.value)
    assert "the same --controls" in str(error.value)


def test_prompts_whose_thoughts_did_not_end_are_not_passed_over(
    prompts: Prompts, before: Measurement
) -> None:
    """The same prompts were asked; of the run there are fewer, or of the baseline."""
    asked: dict[str, Any] = {"measure_after": "thought", "thought_tokens": 28}
    few = draw_prompts(40, np.random.default_rng(0))
    whole, part = release(prompts, identity=asked), release(few, identity=asked)
    for pair, counts in (
        ((whole, part), "120 in the baseline, 40"),
        ((part, whole), "40 in the baseline, 120"),
    ):
        with pytest.raises(
            IncomparableError, match=f"prompts: {counts} in the run, 40 ids in both, "
        ) as error:
            decide(*pair, GENEROUS)
        assert "the thoughts of the others did not end: collect with more --thought-tokens" in str(
            error.value
        )
        assert "--limit" not in str(error.value)
        assert "\n" not in str(error.value)
    with pytest.raises(IncomparableError, match="the same prompts and the same --limit"):
        decide(before, release(few), GENEROUS)
    control = release(prompts, identity=asked, leaks=(Leak("none", 0, 40),))
    with pytest.raises(IncomparableError, match=r"none only in the baseline: .* more --thought-tokens"):
        decide(control, whole, GENEROUS)


def test_controls_have_no_order(prompts: Prompts) -> None:
    """They stand as their rows do, and the first prompts' may be left out."""
    leaks = (Leak("none", 0, 400), Leak("random", 0, 400))
    before, after = (release(prompts, leaks=each) for each in (leaks, leaks[::-1]))
    assert decide(before, after, GENEROUS).outcome == "pass"


@pytest.mark.parametrize("name", ["model", "weights", "dtype", "attention", "layers"])
def test_what_answers_may_be_another(prompts: Prompts, before: Measurement, name: str) -> None:
    assert decide(before, release(prompts, identity={name: "other"}), GENEROUS).outcome == "pass"


@pytest.mark.parametrize("limits", [{"max_drop": -0.01}, {"max_leak": 1.5}, {"min_margin": float("nan")}])
def test_limits_without_sense_are_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(MarginError, match="makes no sense: take a number from"):
        Policy(**limits)


def test_changes_of_prompts_add_up_and_name_who_fell(prompts: Prompts, before: Measurement) -> None:
    X = prompts.points(1, np.random.default_rng(1), own=0.1)
    fallen = [7, 33]
    for p in fallen:
        X[3 * p : 3 * p + 3] = X[3 * p]
    after = measurement(prompts, X)
    changes = prompt_changes(before, after)
    assert changes["change"].mean() == pytest.approx(
        after.overall.estimate - before.overall.estimate, abs=1e-7
    )
    assert set(changes["prompt_id"].head(2)) == {f"p{p}" for p in fallen}
    worst = decide(before, after, GENEROUS).worst_prompts
    assert (worst["change"] < 0).all()
    assert worst["prompt_id"].tolist() == changes["prompt_id"].head(len(worst)).tolist()


def test_pairs_explain_unless_they_are_asked_for(prompts: Prompts, before: Measurement) -> None:
    after = release(prompts, seed=2)
    kinds = {
        pairs: {
            claim.name: claim.required for claim in decide(before, after, Policy(0.03, pairs=pairs)).claims
        }
        for pairs in (False, True)
    }
    for name in ("pos / neg", "pos / rej", "neg / rej"):
        assert (kinds[False][name], kinds[True][name]) == (False, True)
    assert kinds[False]["overall"]
    assert not kinds[True]["language=en"]


def test_other_clusters_are_incomparable() -> None:
    clustered = draw_prompts(120, np.random.default_rng(0), hang=Hang(each=3, rho=0.5))
    before, after = release(clustered), release(clustered, seed=2)
    assert decide(before, after, Policy(max_drop=0.05)).measured.n_clusters == 40
    assert before.clusters is not None
    moved = replace(before.clusters, code=np.roll(before.clusters.code, 1))
    for other, says in (
        (replace(after, clusters=moved), "clusters: template puts other prompts together in the run"),
        (replace(after, cluster="topic"), "cluster: template in the baseline, topic in the run"),
        (release(clustered, clustered=False), "cluster: template in the baseline, nothing in the run"),
    ):
        with pytest.raises(IncomparableError, match=says) as error:
            decide(before, other, GENEROUS)
        assert "\n" not in str(error.value)
        if says.startswith("cluster: "):  # which collect does not know of
            assert ": check with the --cluster the baseline was written with, or" in str(error.value)


def test_a_baseline_from_before_decoys_is_still_one(prompts: Prompts) -> None:
    random, decoy = Leak("random", 0, 400), Leak("decoy", 90, 100)
    old, new = release(prompts, leaks=(random,)), release(prompts, leaks=(random, decoy))
    verdict = decide(old, new, GENEROUS)
    assert verdict.outcome == "pass"
    assert "leak:decoy" not in statuses(verdict)
    assert statuses(decide(new, new, GENEROUS))["leak:decoy"] == "broken"
    with pytest.raises(IncomparableError, match="decoy only in the baseline"):
        decide(new, old, GENEROUS)


@pytest.mark.parametrize(
    ("least", "outcome"), [(0.0, "pass"), (0.05, "inconclusive"), (0.1, "limit not met")]
)
def test_the_margin_above_decoys_is_asked_of_the_run(
    prompts: Prompts, before: Measurement, least: float, outcome: str
) -> None:
    after = replace(before, above_decoys=AboveDecoys(0.05, 0.01, 9.5, 5, 100))
    verdict = decide(before, after, replace(GENEROUS, above_decoys=least))
    assert verdict.outcome == outcome
    if outcome == "limit not met":
        better = replace(before, above_decoys=AboveDecoys(0.2, 0.01, 9.5, 5, 100))
        assert decide(better, after, replace(GENEROUS, above_decoys=least)).outcome == "regression"
    if outcome == "inconclusive":
        assert "more decoy sets on more prompts would do" in verdict.reason
    with pytest.raises(MarginError, match="no two sets of decoys in logits"):
        decide(after, before, replace(GENEROUS, above_decoys=least))


def test_unasked_it_allows_what_the_baselines_prompts_can_tell(prompts: Prompts, before: Measurement) -> None:
    after = release(prompts, seed=2)
    verdict = decide(before, after, Policy())
    made = before.overall.estimate
    told = smallest_drop(before, [before.overall])
    assert verdict.measured.max_drop == pytest.approx(min(told, MOST_SHARE * made))
    # Nothing of the release under test is in it.
    worse = decide(before, release(prompts, 0.3), Policy())
    assert worse.measured.max_drop == verdict.measured.max_drop
    assert worse.outcome == "regression"
    rich, poor = (replace(before, above_decoys=AboveDecoys(v, 0.001, 9.0, 5, 90)) for v in (10.0, 0.01))
    assert decide(rich, after, Policy()).measured.max_drop == pytest.approx(told)
    assert decide(poor, after, Policy()).measured.max_drop == pytest.approx(MOST_SHARE * 0.01)


def test_a_drop_may_be_a_share_of_the_margin_above_decoys(prompts: Prompts, before: Measurement) -> None:
    with_decoys = replace(before, above_decoys=AboveDecoys(0.06, 0.001, 9.0, 5, 90))
    assert decide(with_decoys, before, Policy("50%")).measured.max_drop == pytest.approx(0.03)
    with pytest.raises(MarginError, match="collect its run with --decoys 5"):
        decide(before, before, Policy("50%"))
    nothing = replace(before, above_decoys=AboveDecoys(-0.01, 0.001, 9.0, 5, 90))
    for policy in (Policy(), Policy("50%")):
        with pytest.raises(MarginError, match="no margin above decoys to take a share of"):
            decide(nothing, before, policy)


@pytest.mark.parametrize(("n", "limit"), [(300, 0.01571), (100, 0.04656), (60, MOST_LEAK)])
def test_unasked_one_prompt_may_leak_whatever_leaked_before(prompts: Prompts, n: int, limit: float) -> None:
    leaky, clean = (release(prompts, leaks=(Leak("random", k, n),)) for k in (n // 2, 0))
    for before, after in ((leaky, clean), (clean, leaky)):
        verdict = decide(before, after, GENEROUS)
        claim = verdict.claims[-1]
        assert claim.limit == pytest.approx(limit, abs=1e-5)
        assert claim.status == ("held" if after is clean else "broken")


@pytest.mark.parametrize("value", ["much", "-3%", "120%", "%", "nan%"])
def test_limits_that_are_no_limits_are_refused(value: str) -> None:
    with pytest.raises(MarginError, match="makes no sense: take a number from 0 to 2, auto, or a share"):
        Policy(max_drop=value)
    with pytest.raises(MarginError, match="makes no sense: take a number from 0 to 1, or auto"):
        Policy(max_leak="5%")
