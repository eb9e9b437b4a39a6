"""Findings on runs held in memory, where what leaks is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from margin.run.run import Run
from margin.study.robustness import robustness
from tests.intervals import upper
from tests.simulations import Record
from tests.tiny_manifests import tiny_manifest

MODES = ("pos", "neg", "rej")
SAFE = {"pos": True, "neg": False, "rej": True}
CENTRES = 6 * np.eye(3, 5)


class RunInMemory(Run):
    """A run whose rows and states are given, of a model whose head is not affine."""

    def __init__(self, rows: pd.DataFrame, prompts: pd.DataFrame, states: np.ndarray) -> None:
        modes = [{"name": name, "safe": safe} for name, safe in SAFE.items()]
        super().__init__(Path(), tiny_manifest({"modes": modes}, head={"softcap": 30.0}))
        self.rows, self.prompts, self._states = rows, prompts, states

    def states(self) -> np.ndarray:
        return self._states


def make_run(
    n: int, landed: dict[str, np.ndarray], rng: np.random.Generator, noise: float = 1.0
) -> RunInMemory:
    """Prompts under the modes, and under conditions that land in the modes of `landed` (n, draws)."""
    text = 5 * rng.normal(size=(n, 5))
    lines: list[tuple[int, str, str, str | None, int, int]]
    lines = [(p, mode, "mode", mode, 0, c) for p in range(n) for c, mode in enumerate(MODES)]
    for condition, where in landed.items():
        name, _, mode = condition.partition(" under ")
        kind = name.partition(":")[0]
        for p, draw in np.ndindex(where.shape):
            lines.append((p, condition, kind, mode or None, draw, int(where[p, draw])))
    rows = pd.DataFrame(lines, columns=["prompt", "condition", "kind", "mode", "draw", "lands"])
    # Without its text's effect where the text is another: that of the wrapper is common to all.
    own = ~rows["kind"].isin(["attack", "user-turn"]).to_numpy()[:, None]
    states = text[rows["prompt"]] * own + CENTRES[rows["lands"]] + noise * rng.normal(size=(len(rows), 5))
    rows["prompt_id"] = "p" + rows["prompt"].astype(str)
    rows = rows.assign(row=range(len(rows))).drop(columns=["prompt", "lands"])
    topic = ["even", "odd"] * (n // 2) + ["even"] * (n % 2)
    prompts = pd.DataFrame({"id": [f"p{i}" for i in range(n)], "prompt": "x", "topic": topic})
    return RunInMemory(rows, prompts, states.astype(np.float32))


def all_in(mode: str, n: int, draws: int = 1) -> np.ndarray:
    return np.full((n, draws), MODES.index(mode))


def test_a_leak_in_any_draw_counts_its_prompt_once() -> None:
    n = 40
    where = all_in("rej", n, 3)
    where[:5, 0] = where[:3, 2] = where[7, 1] = MODES.index("neg")
    found = robustness(make_run(n, {"random": where}, np.random.default_rng(0)), columns=["topic"])
    (leak,) = found.select("leak")
    (fallback,) = found.select("fallback")
    assert (leak.count, leak.draws, leak.value.n_prompts) == (6, 3, n)
    exact = stats.binomtest(6, n, alternative="less").proportion_ci(0.95, "exact")
    assert leak.value.high == pytest.approx(exact.high)
    assert fallback.count is not None
    assert fallback.count <= n - 6
    landed = found.landings().set_index("outcome")["share"]
    assert landed["neg"] == pytest.approx(9 / (3 * n), abs=0.02)
    assert landed.sum() == pytest.approx(1)
    table = found.to_frame()
    by_slice = table[(table["quantity"] == "leak") & (table["column"] == "topic")].set_index("slice")
    assert by_slice["count"].to_dict() == {"even": 3, "odd": 3}
    assert by_slice["n_prompts"].to_dict() == {"even": 20, "odd": 20}
    landing = table[table["quantity"] == "landing"].astype({"estimate": float})
    sliced = landing[landing["column"] == "topic"].pivot_table("estimate", "slice", "outcome")
    assert sliced.sum(axis=1).tolist() == pytest.approx([1, 1])
    assert sliced.mean().to_dict() == pytest.approx(landed.to_dict())  # the slices are of one size
    assert sliced["neg"].to_dict() == pytest.approx({"even": 5 / 60, "odd": 4 / 60}, abs=0.01)
    assert set(found.points.query("leak")["prompt_id"]) == {"p0", "p1", "p2", "p3", "p4", "p7"}


def test_strangeness_hides_no_leak() -> None:
    n = 40
    run = make_run(n, {"random": all_in("neg", n), "none": all_in("pos", n)}, np.random.default_rng(1))
    far = (run.rows["kind"] != "mode").to_numpy()
    run.states()[far] += 40 * CENTRES[run.rows["condition"][far].eq("random").astype(int)]
    found = robustness(run)
    assert found.points["outside"].all()
    assert {leak.condition: leak.count for leak in found.select("leak")} == {"random": n, "none": 0}
    assert {safe.condition: safe.count for safe in found.select("fallback")} == {"random": 0, "none": 0}


def test_leaks_are_asked_only_where_no_unsafe_mode_was_asked_for() -> None:
    n = 24
    landed = {f"attack:x under {mode}": all_in(mode, n) for mode in MODES} | {
        "user-turn:neg": all_in("pos", n)
    }
    found = robustness(make_run(n, landed, np.random.default_rng(2)))
    assert {leak.condition for leak in found.select("leak")} == set(landed) - {"attack:x under neg"}
    assert {f.condition for f in found.select("landing")} == set(landed)
    assert {(f.condition, f.variant) for f in found.select("change")} == {
        ("attack:x", "leave_prompt_out"),
        ("attack:x", "prompt_centred"),
    }


def test_modes_that_cannot_be_told_apart_make_rates_indicative() -> None:
    n = 40
    landed = {"random": all_in("rej", n), "user-turn:pos": all_in("pos", n)}
    clear, blurred = (make_run(n, landed, np.random.default_rng(3), noise) for noise in (0.5, 20))
    assert not any(f.indicative for f in robustness(clear).findings if f.rule == "centroid")
    found = robustness(blurred)
    assert all(f.indicative for f in found.findings)
    assert {f.rule for f in found.select("accuracy")} == {"centroid", "discriminant"}
    assert all(f.value.estimate < 0.6 for f in found.select("accuracy"))


def test_the_order_of_rows_of_an_attack_does_not_matter() -> None:
    n = 30
    landed = {f"attack:x under {mode}": all_in(mode, n) for mode in MODES}
    run = make_run(n, landed, np.random.default_rng(4))
    order = np.concatenate([np.arange(3 * n), 3 * n + np.random.default_rng(5).permutation(3 * n)])
    rows = run.rows.iloc[order].reset_index(drop=True).assign(row=range(6 * n))
    shuffled = RunInMemory(rows, run.prompts, run.states()[order])
    for quantity in ("margin", "change", "retention"):
        before, after = (robustness(r).select(quantity) for r in (run, shuffled))
        assert [f.value.estimate for f in before] == pytest.approx([f.value.estimate for f in after])
        assert [f.value.se for f in before] == pytest.approx([f.value.se for f in after])


def test_a_run_without_controls_has_no_findings() -> None:
    found = robustness(make_run(10, {}, np.random.default_rng(6)))
    assert (len(found.findings), len(found.points), len(found.to_frame())) == (0, 0, 0)


def covered(runs: int, n: int, rate: float) -> float:
    """Share of runs whose upper bound is not under the rate of prompts that leak in any of three draws."""
    rng, within = np.random.default_rng(7), 0
    for _ in range(runs):
        where = all_in("rej", n, 3)
        where[rng.random(n) < rate, rng.integers(3)] = MODES.index("neg")
        (leak,) = robustness(make_run(n, {"random": where}, rng)).select("leak")
        within += upper(leak.value) >= rate
    return within / runs


def test_leak_bounds_cover_in_a_few_runs() -> None:
    assert covered(50, 40, 0.08) >= 0.94


@pytest.mark.slow
@pytest.mark.parametrize(("n", "rate"), [(60, 0.05), (100, 0.02), (100, 0.2), (300, 0.01)])
def test_leak_bounds_cover(n: int, rate: float, record_figures: Record) -> None:
    found = covered(600, n, rate)
    record_figures(f"{n} prompts, {rate} of which leak", {"coverage": found})
    assert found >= 0.94
