"""Paired differences of margins: against derivatives, on runs that overlap in any way, and in simulation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from margin.analysis.comparison import Comparison, compare
from margin.analysis.space import Coordinates, Gram
from margin.errors import IncomparableError, MarginError
from margin.stats.design import Design, make_design
from margin.stats.multiplicity import holm
from margin.stats.power import power
from tests.intervals import holds, lower, upper
from tests.margin.population import population
from tests.margin.silhouette_oracle import Array, labels, paired_points, pairwise, samples, weighted_margin
from tests.simulations import Record

Runs = dict[str, tuple[Coordinates, Design]]
MODES = ("pos", "neg", "rej")


def run_of(
    prompts: range, seed: int, missing: float = 0.0, modes: tuple[str, ...] = MODES
) -> tuple[Array, Design]:
    """A run on the prompts of these numbers, rows in random order."""
    rng = np.random.default_rng(seed)
    mode, prompt = labels(len(prompts), len(modes), rng, missing)
    # Common to all runs, whatever prompts they hold: what is drawn first.
    X = paired_points(np.random.default_rng(len(prompts)), mode, prompt) + 0.3 * rng.standard_normal(
        (len(mode), 6)
    )
    return X, make_design(np.array(modes)[mode], [f"p{prompts[p]}" for p in prompt])


def spaces(**runs: tuple[Array, Design]) -> Runs:
    return {name: (Coordinates(X), design) for name, (X, design) in runs.items()}


def compared(**runs: tuple[Array, Design]) -> Comparison:
    return compare(spaces(**runs), np.random.default_rng(0))


def restricted(X: Array, design: Design, keys: list[tuple[str, str]]) -> Array:
    """Rows of a run in the order of (prompt, mode) keys."""
    names = [(design.prompt_ids[p], design.modes[c]) for p, c in zip(design.prompt, design.mode, strict=True)]
    return X[[names.index(key) for key in keys]]


@pytest.mark.parametrize("missing", [0.0, 0.25], ids=["complete", "incomplete"])
def test_differences_are_those_of_the_definition_on_shared_points(missing: float) -> None:
    """Margins by O(N^2) silhouettes, standard errors by derivatives in the prompts' weights."""
    a, b = run_of(range(14), 1, missing), run_of(range(4, 18), 2, missing)
    found = compared(a=a, b=b)
    keys_of = [
        {(design.prompt_ids[p], design.modes[c]) for p, c in zip(design.prompt, design.mode, strict=True)}
        for _, design in (a, b)
    ]
    keys = sorted(keys_of[0] & keys_of[1])
    prompts, prompt = np.unique([p for p, _ in keys], return_inverse=True)
    mode = np.array([MODES.index(m) for _, m in keys])
    assert set(found.prompt_ids) == set(prompts)
    D = [pairwise(restricted(*run, keys), "cosine") for run in (a, b)]
    margin = [samples(d, mode, prompt) for d in D]

    def difference(weights: Array) -> float:
        values = [weighted_margin(d, mode, prompt, weights, np.ones(len(keys))) for d in D]
        return values[1] - values[0]

    n = len(prompts)
    U = [(difference(1 + e) - difference(1 - e)) / 2e-4 for e in 1e-4 * np.eye(n)]
    by_name = {d.margin: d.difference for d in found.differences}
    overall = by_name["leave_prompt_out"]
    assert overall.estimate == pytest.approx(margin[1].mean() - margin[0].mean(), abs=1e-9)
    assert overall.se == pytest.approx(np.sqrt(n / (n - 1) * np.sum(np.square(U))), rel=1e-4)
    half = stats.t.ppf(0.975, n - 1) * overall.se
    assert (overall.low, overall.high) == pytest.approx((overall.estimate - half, overall.estimate + half))
    assert overall.n_prompts == n
    for c, name in enumerate(MODES):
        change = margin[1][mode == c].mean() - margin[0][mode == c].mean()
        assert by_name[name].estimate == pytest.approx(change, abs=1e-9)


def test_the_order_of_rows_and_modes_and_prompts_of_their_own_do_not_matter() -> None:
    """Pairs of modes are the same whichever stands first in a run."""
    X, design = run_of(range(20), 1)
    Y, other = run_of(range(20), 2)
    expected = compared(a=(X, design), b=(Y, other)).to_frame()
    order = np.argsort(-other.mode, kind="stable")  # the modes in another order
    reordered = other.subset(order)
    assert reordered.modes != other.modes
    extra_X = np.vstack([np.random.default_rng(9).standard_normal((3, 6)), Y[order]])
    names = [
        (reordered.modes[c], reordered.prompt_ids[p])
        for c, p in zip(reordered.mode, reordered.prompt, strict=True)
    ]
    names = [*((mode, "elsewhere") for mode in MODES), *names]
    extra = make_design([mode for mode, _ in names], [prompt for _, prompt in names])
    found = compared(a=(X, design), b=(extra_X, extra)).to_frame()
    assert list(found.margin) == list(expected.margin)
    numbers = ["value", "difference", "low", "high", "se", "p_value", "p_holm", "detectable"]
    assert_allclose(found[numbers], expected[numbers], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_identical_runs_do_not_differ_at_all(dtype: type) -> None:
    """Not by rounding either: a difference of 1e-17 with a standard error of 1e-18 would be significant."""
    X, design = run_of(range(25), 1)
    X = X.astype(dtype)
    order = np.random.default_rng(0).permutation(len(X))
    for other in ((X, design), (X[order], design.subset(order))):
        frame = compared(a=(X, design), b=other).to_frame()
        assert (frame[["difference", "low", "high", "se", "detectable"]] == 0).all(axis=None)
        assert (frame[["p_value", "p_holm"]] == 1).all(axis=None)


def test_runs_by_inner_products_compare_as_by_coordinates() -> None:
    (X, design), (Y, other) = run_of(range(12), 1), run_of(range(3, 15), 2)
    by_points = compared(a=(X, design), b=(Y, other)).to_frame()
    grams = {"a": (Gram(X @ X.T), design), "b": (Gram(Y @ Y.T), other)}
    by_products = compare(grams, np.random.default_rng(0)).to_frame()
    assert_allclose(by_products.difference, by_points.difference, atol=1e-10)
    assert_allclose(by_products.se, by_points.se, atol=1e-9)


def test_several_runs_pay_for_being_several() -> None:
    runs = {f"step {i}": run_of(range(30), i) for i in range(5)}
    found = compare(spaces(**runs), np.random.default_rng(0))
    assert found.reference == "step 0"
    overall = [d for d in found.differences if d.margin == "leave_prompt_out"]
    assert [d.run for d in overall] == ["step 1", "step 2", "step 3", "step 4"]
    for d in overall:
        assert lower(d.simultaneous) < lower(d.difference) < upper(d.difference) < upper(d.simultaneous)
    assert_allclose([d.p_holm for d in overall], holm([d.p_value for d in overall]))


def test_against_the_previous_run_each_difference_is_that_of_the_two_alone() -> None:
    runs = {f"step {i}": run_of(range(20), i) for i in range(4)}
    found = compare(spaces(**runs), np.random.default_rng(0), against="previous").to_frame()
    for before, after in itertools.pairwise(runs):
        alone = compared(**{before: runs[before], after: runs[after]}).to_frame()
        alone = alone[~alone.margin.str.contains("/")]  # pairs take their names from the first run
        chained = found[found.run == after].set_index("margin").loc[alone.margin].reset_index()
        assert set(chained.reference) == {before}
        numbers = ["value", "difference", "low", "high", "se", "p_value", "detectable"]
        assert_allclose(chained[numbers], alone[numbers])
        assert (chained.simultaneous_low < chained.low).all()


def test_a_p_value_is_below_alpha_where_the_interval_excludes_0() -> None:
    runs = {f"r{i}": run_of(range(12), i) for i in range(8)}
    for d in compare(spaces(**runs), np.random.default_rng(0)).differences:
        assert (d.p_value < 0.05) == (lower(d.difference) > 0 or upper(d.difference) < 0)


def test_detectable_drop_has_the_power_named() -> None:
    d = compared(a=run_of(range(30), 1), b=run_of(range(30), 2)).differences[0]
    assert power(d.detectable, d.difference.se * np.sqrt(30), 30) == pytest.approx(0.8)


def test_power_and_prompts_are_those_of_the_paired_difference() -> None:
    found = compare(
        spaces(a=run_of(range(30), 1), b=run_of(range(30), 2)), np.random.default_rng(0), drop=0.05
    )
    assert found.drop == 0.05
    for d in found.differences:
        sd = d.difference.se * np.sqrt(30)
        assert d.power == power(0.05, sd, 30)
        assert d.prompts_for_drop is not None
        assert (d.detectable <= 0.05) == (d.power >= 0.8) == (d.prompts_for_drop <= 30)
        assert d.is_settled == (d.p_value < 0.05)
        for n, size in (
            (d.prompts_for_drop, 0.05),
            (d.prompts_to_settle, abs(d.difference.estimate)),
        ):
            assert n is not None
            assert power(size, sd, n) >= 0.8 > power(size, sd, max(2, n - 1)) or n <= 2
    runs, rng = spaces(a=run_of(range(9), 1), b=run_of(range(9), 2)), np.random.default_rng(0)
    with pytest.raises(MarginError, match="a drop of 0 is none"):
        compare(runs, rng, drop=0)
    for drop in (np.inf, np.nan, "0.01", None, 2.1, -0.1):
        with pytest.raises(MarginError, match=r"^drop .+ makes no sense"):
            compare(runs, rng, drop=drop)  # type: ignore[arg-type]
    with pytest.raises(MarginError, match="against 'last': take first or previous"):
        compare(runs, rng, against="last")  # type: ignore[arg-type]


def test_of_runs_that_are_the_same_nothing_is_left_to_settle() -> None:
    run = run_of(range(12), 1)
    found = compared(a=run, b=run)
    assert all(d.is_settled and d.power == 1 and d.prompts_to_settle is None for d in found.differences)
    assert {line["prompts_to_settle"] for line in found.to_dict()} == {None}


def test_the_table_holds_every_run_and_margin() -> None:
    runs = {name: run_of(range(10), seed) for seed, name in enumerate(("first", "second", "third"))}
    found = compare(spaces(**runs), np.random.default_rng(0))
    frame = found.to_frame()
    margins = ["leave_prompt_out", "prompt_centred", *found.margins["first"].per_mode]
    margins += [" / ".join(pair) for pair in found.margins["first"].one_vs_one]
    assert sorted(zip(frame.run, frame.margin, strict=True)) == sorted(
        (run, margin) for run in ("second", "third") for margin in margins
    )
    first = {name: e.estimate for name, e in found.margins["first"].estimates.items()}
    assert_allclose(frame.value - frame.difference, frame.margin.map(first))


def test_two_shared_prompts_suffice_and_one_does_not() -> None:
    frame = compared(a=run_of(range(10), 1), b=run_of(range(8, 18), 2)).to_frame()
    assert np.isfinite(frame[["difference", "low", "high", "se", "detectable"]].to_numpy()).all()
    with pytest.raises(IncomparableError, match="a and b share 1 prompt:"):
        compared(a=run_of(range(10), 1), b=run_of(range(9, 19), 2))


def test_runs_of_other_modes_are_not_comparable() -> None:
    with pytest.raises(IncomparableError, match=r"b has modes .*, a has"):
        compared(a=run_of(range(5), 1), b=run_of(range(5), 1, modes=("pos", "neg", "hedge")))
    with pytest.raises(IncomparableError, match="compare runs of one mode set"):
        compared(a=run_of(range(5), 1), b=run_of(range(5), 1, modes=("pos", "neg")))


def test_runs_that_share_nothing_of_a_mode_are_not_comparable() -> None:
    X, design = run_of(range(12), 1)
    rej = design.modes.index("rej")
    early = design.prompt < 6
    a, b = (~early | (design.mode != rej)), (early | (design.mode != rej))
    with pytest.raises(IncomparableError, match="share no prompt under rej"):
        compared(a=(X[a], design.subset(a)), b=(X[b], design.subset(b)))


def test_one_run_is_not_a_comparison() -> None:
    with pytest.raises(MarginError, match="at least two runs, got 1"):
        compared(a=run_of(range(5), 1))


def coverage(n: int, checkpoints: int, change: float, sims: int, truth_from: int) -> dict[str, float]:
    """Share of comparisons that cover: the paired intervals, the simultaneous ones together; type I error."""
    where = population()
    rng = np.random.default_rng(41)

    def comparison(n: int) -> Comparison:
        prompts = where.prompts(n, rng)
        design = where.design(prompts)
        at = [1.0] + [1.0 + change] * checkpoints
        return compare(
            {f"r{i}": (Coordinates(where.points(prompts, s, rng)), design) for i, s in enumerate(at)}, rng
        )

    names = ("leave_prompt_out", "prompt_centred", "m0", "m0 / m1")
    truth = dict.fromkeys(names, 0.0)
    if change:
        truth |= {d.margin: d.difference.estimate for d in comparison(truth_from).differences}
    covered: dict[str, list[bool]] = {name: [] for name in names}
    jointly, significant = [], []
    for _ in range(sims):
        found = comparison(n).differences
        for d in found:
            if d.run == "r1" and d.margin in covered:
                covered[d.margin].append(holds(d.difference, truth[d.margin]))
        overall = [d for d in found if d.margin == "leave_prompt_out"]
        value = truth["leave_prompt_out"]
        jointly.append(all(holds(d.simultaneous, value) for d in overall))
        significant.append(any(d.p_holm < 0.05 for d in overall))
    return {
        **{name: float(np.mean(hits)) for name, hits in covered.items()},
        "simultaneous": float(np.mean(jointly)),
        "any p_holm < .05": float(np.mean(significant)),
    }


def test_without_a_change_comparisons_seldom_find_one() -> None:
    """Monte Carlo error .02 (120 comparisons); three of them about .05."""
    found = coverage(50, 1, 0.0, 120, truth_from=0)
    assert found["any p_holm < .05"] <= 0.11
    assert min(found[name] for name in ("leave_prompt_out", "prompt_centred", "m0", "m0 / m1")) >= 0.89


@pytest.mark.slow
def test_comparisons_cover_at_full_size(record_figures: Record) -> None:
    """Monte Carlo error .007 (1000 comparisons); the truth's own error is a tenth of a standard error."""
    for n, checkpoints, change in ((60, 1, 0.0), (200, 1, 0.0), (100, 4, 0.0), (100, 1, 0.3), (200, 4, 0.3)):
        found = coverage(n, checkpoints, change, 1000, truth_from=40_000)
        *paired, joint, type_one = found.values()
        record_figures(f"{n} prompts, {checkpoints} runs beside the first, changed by {change}", found)
        assert all(0.92 <= x <= 0.98 for x in paired)
        assert joint >= 0.92
        assert change or type_one <= 0.07
