"""Per-prompt margins against their definitions, their spread, and the stability of the worst."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats

from margin.analysis.bootstrap import prompt_weights
from margin.analysis.metrics import Distance
from margin.analysis.prompt_margins import prompt_margins, spread, worst_prompts
from margin.analysis.space import Coordinates
from margin.errors import MarginError
from margin.stats.design import Design, make_design
from tests.intervals import lower, upper
from tests.margin.population import population
from tests.margin.silhouette_oracle import DISTANCES, Array, labels, paired_points, pairwise, samples
from tests.simulations import Record


def data(n: int, missing: float = 0.0, k: int = 3, seed: int = 0) -> tuple[Array, Design]:
    rng = np.random.default_rng(seed)
    mode, prompt = labels(n, k, rng, missing)
    return paired_points(rng, mode, prompt), make_design([f"m{c}" for c in mode], [f"p{p}" for p in prompt])


@pytest.mark.parametrize("missing", [0.0, 0.4], ids=["complete", "incomplete"])
@pytest.mark.parametrize("distance", DISTANCES)
def test_margins_of_each_prompt_are_those_of_the_definition(distance: Distance, missing: float) -> None:
    X, design = data(14, missing)
    tokens = np.random.default_rng(1).standard_normal(design.n_points)
    found = prompt_margins(Coordinates(X), design, distance, tokens).to_frame().set_index("prompt_id")
    D = pairwise(X, distance)
    points = pd.DataFrame(
        {
            "prompt": np.array(design.prompt_ids)[design.prompt],
            "mode": np.array(design.modes)[design.mode],
            "s": samples(D, design.mode, design.prompt),
            "token": tokens,
        }
    )
    for prompt, own in points.groupby("prompt"):
        line = found.loc[prompt]
        assert line.margin == pytest.approx(own.s.mean(), abs=1e-9)
        assert line.weakest == pytest.approx(own.s.min(), abs=1e-9)
        assert line.weakest_mode in set(own["mode"][own.s < own.s.min() + 1e-9])
        assert line.token_margin == pytest.approx(own.token.mean())
        assert line.token_weakest == own.token.min()
        i = own.index.to_numpy()
        between = [D[a, b] for a in i for b in i if a != b]
        across = []
        for a in i:
            others = (design.mode == design.mode[a]) & (design.prompt != design.prompt[a])
            if others.any():
                across.append(D[a, others].mean())
        expected = np.mean(between) / np.mean(across) if between and across else np.nan
        assert line.distance_ratio == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_without_token_margins_there_are_no_such_columns() -> None:
    X, design = data(5)
    found = prompt_margins(Coordinates(X), design)
    assert list(found.to_frame()) == ["prompt_id", "margin", "weakest_mode", "weakest", "distance_ratio"]
    assert [s.measure for s in found.spreads()] == ["margin", "weakest", "distance_ratio"]


def test_the_ratio_is_even_at_1_and_margins_at_0() -> None:
    X, design = data(30)
    found = prompt_margins(Coordinates(X), design, "euclidean")
    frame = found.to_frame()
    shares = {s.measure: s.share_below.estimate for s in found.spreads()}
    assert shares["distance_ratio"] == (frame.distance_ratio < 1).mean()
    assert shares["margin"] == (frame.margin < 0).mean()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("distance", DISTANCES)
def test_identical_modes_are_even_not_below(distance: Distance, dtype: type) -> None:
    _, design = data(30)
    X: Array = (np.random.default_rng(0).standard_normal((30, 5))[design.prompt] + 3).astype(dtype)
    found = prompt_margins(Coordinates(X), design, distance)
    assert_allclose(found.margin, 0, atol=1e-6)
    assert_allclose(found.distance_ratio, 0)
    shares = {s.measure: s.share_below.estimate for s in found.spreads()}
    assert (shares["margin"], shares["weakest"]) == (0, 0)


def test_a_constant_mode_and_a_prompt_of_one_mode_have_numbers_or_none() -> None:
    """Within modes that are all constant there is no distance to compare with: no ratio."""
    prompt, mode = np.divmod(np.arange(12), 2)
    design = make_design(mode.astype(str), prompt.astype(str))
    found = prompt_margins(Coordinates(np.array([[1.0, 0], [0, 1]])[mode]), design)
    assert_allclose(found.margin, 1)
    assert np.isnan(found.distance_ratio).all()
    assert found.spreads()[-1].share_below.n_prompts == 0
    keep = np.arange(12) != 0
    X, _ = data(6, k=2)
    assert np.isnan(prompt_margins(Coordinates(X[keep]), design.subset(keep)).distance_ratio[0])


def test_one_prompt_is_refused_and_two_suffice() -> None:
    X, design = data(2)
    frame = prompt_margins(Coordinates(X), design).to_frame()
    assert np.isfinite(frame[["margin", "weakest", "distance_ratio"]].to_numpy()).all()
    one = design.prompt == 0
    with pytest.raises(MarginError, match="two prompts"):
        prompt_margins(Coordinates(X[one]), design.subset(one))


@given(st.lists(st.integers(-100, 100), min_size=2, max_size=60))
def test_spread_of_values(hundredths: list[int]) -> None:
    values = np.array(hundredths) / 100
    found = spread("margin", np.array([*values, np.nan]))
    share = found.share_below
    assert share.n_prompts == len(values)
    assert share.estimate == np.mean(values < 0)
    assert 0 <= lower(share) <= share.estimate <= upper(share) <= 1
    assert list(found.quantiles.values()) == pytest.approx(
        [np.percentile(values, 100 * q) for q in found.quantiles]
    )


def test_interval_of_a_share_is_clopper_pearson() -> None:
    """But for Student's t where n is small, and for the effective number of prompts, one less."""
    values = np.where(np.arange(400) < 60, -1.0, 1.0)
    found = spread("margin", values).share_below
    exact = stats.binomtest(60, 400).proportion_ci(0.95, "exact")
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=2e-3)
    none = spread("margin", np.ones(300)).share_below
    assert none.low == 0
    assert none.high == pytest.approx(stats.binomtest(0, 300).proportion_ci(0.95, "exact").high)


def test_frame_of_a_spread() -> None:
    line = spread("margin", np.linspace(-1, 1, 101)).to_frame().iloc[0]
    assert (line.measure, line.q05, line.q50, line.q95) == ("margin", -0.9, 0.0, pytest.approx(0.9))


def test_stability_is_that_of_resampling_the_prompts() -> None:
    """Against the draws themselves: a list of prompts with copies, sorted, its first m taken."""
    X, design = data(9, seed=3)
    count, replicates = 3, 40
    found = worst_prompts(
        Coordinates(X).distances("cosine"), design, np.random.default_rng(5), count, replicates
    )
    D = pairwise(X, "cosine")
    among, times = np.zeros(9), np.zeros(9)
    for drawn in prompt_weights(design, replicates, np.random.default_rng(5)).T:
        s = samples(D, design.mode, design.prompt, drawn[design.prompt])
        margin = np.array([s[design.prompt == p].mean() for p in range(9)])
        draws = sorted(margin[p] for p in range(9) for _ in range(int(drawn[p])))
        for p in np.flatnonzero(drawn):
            times[p] += 1
            among[p] += draws.index(margin[p]) < count
    order = [design.prompt_ids.index(p) for p in found.prompt_ids]
    assert_allclose(found.stability, (among / times)[order])
    whole = prompt_margins(Coordinates(X), design).margin
    assert_allclose(found.margin, np.sort(whole)[:count])


def test_a_clear_worst_prompt_is_stable_and_chance_ones_are_not() -> None:
    prompt, mode = np.divmod(np.arange(180), 3)
    X = paired_points(np.random.default_rng(0), mode, prompt, separation=3.0)
    X[prompt == 7] = X[prompt == 7][[1, 2, 0]]  # every mode of this prompt answers as another
    design = make_design(mode.astype(str), prompt.astype(str))
    found = worst_prompts(
        Coordinates(X).distances("cosine"), design, np.random.default_rng(0), count=8
    ).to_frame()
    assert found.prompt_id[0] == "7"
    assert found.stability[0] == 1
    assert 0.4 < found.stability[7] < 0.8
    assert found.stability.iloc[:4].mean() > found.stability.iloc[4:].mean()


def test_a_list_longer_than_the_prompts_holds_them_all() -> None:
    X, design = data(4)
    found = worst_prompts(Coordinates(X).distances("cosine"), design, np.random.default_rng(0), count=10)
    assert len(found.prompt_ids) == 4
    assert_allclose(found.stability, 1)


def coverage(n: int, sims: int, truth_from: int) -> dict[str, float]:
    """Share of runs whose interval covers the share of weak prompts in the population, by measure."""
    where = population()
    rng = np.random.default_rng(31)

    def shares(n: int) -> dict[str, tuple[float, float, float]]:
        prompts = where.prompts(n, rng)
        found = prompt_margins(Coordinates(where.points(prompts, 1.5, rng)), where.design(prompts)).spreads()
        of = {s.measure: s.share_below for s in found}
        return {name: (e.estimate, lower(e), upper(e)) for name, e in of.items()}

    truth = {name: value for name, (value, *_) in shares(truth_from).items()}
    runs = [shares(n) for _ in range(sims)]
    return {
        name: float(np.mean([run[name][1] <= value <= run[name][2] for run in runs]))
        for name, value in truth.items()
    }


def test_the_interval_of_the_weak_share_covers() -> None:
    """Monte Carlo error .015 (200 runs); three of them below .95."""
    assert min(coverage(150, 200, truth_from=20_000).values()) >= 0.90


@pytest.mark.slow
def test_the_interval_of_the_weak_share_covers_at_full_size(record_figures: Record) -> None:
    """Monte Carlo error .005 (2000 runs)."""
    for n in (80, 300):
        shares = coverage(n, 2000, truth_from=200_000)
        record_figures(f"{n} prompts", shares)
        assert all(0.92 <= share <= 0.985 for share in shares.values())
