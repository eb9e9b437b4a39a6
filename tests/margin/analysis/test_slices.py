"""Margins of slices against their definition, their bounds, and what becomes of small slices."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import stats

from margin.analysis.metrics import Distance
from margin.analysis.slices import MIN_PROMPTS, slice_margins
from margin.analysis.space import Coordinates
from margin.errors import MarginError
from margin.stats.design import Design, make_design
from tests.intervals import lower
from tests.margin.population import TOPICS, population
from tests.margin.silhouette_oracle import (
    DISTANCES,
    labels,
    paired_points,
    pairwise,
    samples,
    weighted_margin,
)
from tests.simulations import Record


def data(n: int, missing: float = 0.0, seed: int = 0) -> tuple[np.ndarray, Design]:
    rng = np.random.default_rng(seed)
    mode, prompt = labels(n, 3, rng, missing)
    return paired_points(rng, mode, prompt), make_design(mode.astype(str), [f"p{p}" for p in prompt])


def column_of(design: Design, values: object) -> pd.Series:
    return pd.Series(values, index=list(design.prompt_ids), name="topic")


@pytest.mark.parametrize("missing", [0.0, 0.3], ids=["complete", "incomplete"])
@pytest.mark.parametrize("distance", DISTANCES)
def test_a_slice_is_the_mean_over_its_prompts_among_all_neighbours(
    distance: Distance, missing: float
) -> None:
    X, design = data(24, missing)
    topic = np.array(["a"] * 13 + ["b"] * 10 + ["c"])
    found = slice_margins(
        Coordinates(X), design, column_of(design, topic), np.random.default_rng(0), distance
    )
    direct = samples(pairwise(X, distance), design.mode, design.prompt)
    of_point = topic[design.prompt]
    for name, margin in zip(found.names, found.margins, strict=True):
        assert margin.estimate == pytest.approx(direct[of_point == name].mean(), abs=1e-9)
        assert margin.n_prompts == (topic == name).sum()


def test_bounds_rest_on_the_derivative_in_the_prompts_weights() -> None:
    X, design = data(64)
    topic = np.array(["a", "b"])[np.arange(64) % 2]
    found = slice_margins(Coordinates(X), design, column_of(design, topic), np.random.default_rng(0))
    D = pairwise(X, "cosine")
    for name, margin in zip(found.names, found.margins, strict=True):
        share = (topic == name)[design.prompt].astype(float)
        step = 1e-4 * np.eye(64)
        up, down = (
            np.array([weighted_margin(D, design.mode, design.prompt, 1 + sign * e, share) for e in step])
            for sign in (1, -1)
        )
        U = (up - down) / 2e-4
        assert_allclose(found.influence[name], U, atol=1e-7)
        assert margin.se == pytest.approx(np.sqrt(32 / 31 * np.sum(np.square(U))), rel=1e-5)
        assert margin.se is not None
        widths = (margin.estimate - lower(margin)) / margin.se
        assert stats.t.isf(0.05, 31) < widths < stats.t.isf(0.05 / 2, 31) * 1.02
        assert margin.high is None


def test_small_slices_are_shown_without_a_bound_and_never_ranked() -> None:
    X, design = data(MIN_PROMPTS + 12)
    topic = ["large"] * MIN_PROMPTS + ["small"] * 11 + ["single"]
    space = Coordinates(X)
    found = slice_margins(space, design, column_of(design, topic), np.random.default_rng(0))
    frame = found.to_frame().set_index("slice")
    assert list(frame.ranked) == [True, False, False]
    assert found.worst == "large"
    assert list(frame.worst) == [True, False, False]
    assert frame.low.isna().tolist() == [False, True, True]
    assert frame.estimate.notna().all()
    # Small slices cost the large one nothing: alone it gets the t bound.
    assert (frame.estimate.large - frame.low.large) / frame.se.large == pytest.approx(
        stats.t.isf(0.05, MIN_PROMPTS - 1), rel=0.03
    )


def test_without_a_large_slice_there_is_no_worst() -> None:
    X, design = data(20)
    found = slice_margins(
        Coordinates(X), design, column_of(design, ["a", "b"] * 10), np.random.default_rng(0)
    )
    assert found.worst is None
    assert not found.to_frame()[["ranked", "worst"]].any(axis=None)


def test_the_worst_slice_is_the_one_whose_modes_lie_closest() -> None:
    n = 3 * MIN_PROMPTS
    prompt, mode = np.divmod(np.arange(3 * n), 3)
    X = paired_points(np.random.default_rng(0), mode, prompt, separation=2.0)
    topic = np.array(["far", "near", "far too"])[np.arange(n) % 3]
    near = (topic == "near")[prompt]
    X[near] = X[near][::3].repeat(3, axis=0) + 0.3 * np.random.default_rng(1).standard_normal((near.sum(), 6))
    design = make_design(mode.astype(str), prompt.astype(str))
    found = slice_margins(Coordinates(X), design, column_of(design, topic), np.random.default_rng(0))
    assert found.worst == "near"


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([1, 2] * 3, ("1", "2")),
        ([0.5, None] * 3, ("0.5",)),
        ([True, False] * 3, ("True", "False")),
        (pd.to_datetime(["2024-01-01", "2024-02-01"] * 3), ("2024-01-01 00:00:00", "2024-02-01 00:00:00")),
        (pd.Categorical(["b", "a"] * 3, categories=["a", "b", "unused"]), ("b", "a")),
        ([None] * 6, ()),
    ],
    ids=["int", "float with missing", "bool", "date", "category", "all missing"],
)
def test_any_column_makes_slices(values: object, names: tuple[str, ...]) -> None:
    X, design = data(6)
    found = slice_margins(Coordinates(X), design, column_of(design, values), np.random.default_rng(0))
    assert found.names == names
    assert all(np.isfinite(margin.estimate) and margin.n_prompts == 3 for margin in found.margins)


def test_a_column_may_know_more_or_fewer_prompts_than_the_run() -> None:
    X, design = data(6)
    known = {"p0": 1, "p1": 2, "p2": 1, "elsewhere": 3}
    found = slice_margins(Coordinates(X), design, pd.Series(known, name="topic"), np.random.default_rng(0))
    assert dict(zip(found.names, [m.n_prompts for m in found.margins], strict=True)) == {"1": 2, "2": 1}


def test_a_column_with_another_index_is_refused() -> None:
    X, design = data(6)
    with pytest.raises(MarginError, match="'topic' holds none of the prompts"):
        slice_margins(Coordinates(X), design, pd.Series(["a"] * 6, name="topic"), np.random.default_rng(0))


def test_a_design_that_does_not_fit_is_refused() -> None:
    X, design = data(6)
    with pytest.raises(MarginError, match="points but"):
        slice_margins(Coordinates(X[:-1]), design, column_of(design, ["a"] * 6), np.random.default_rng(0))


def test_identical_modes_have_no_margin_in_any_slice() -> None:
    prompt, mode = np.divmod(np.arange(3 * 64), 3)
    X = np.random.default_rng(0).standard_normal((64, 5))[prompt]
    design = make_design(mode.astype(str), prompt.astype(str))
    topic = column_of(design, ["a", "b"] * 32)
    found = slice_margins(Coordinates(X), design, topic, np.random.default_rng(0))
    assert_allclose([(m.estimate, lower(m)) for m in found.margins], 0, atol=1e-12)


def coverage(n: int, sims: int, truth_from: int) -> float:
    """Share of runs where the lower bounds of all ranked topics hold."""
    where = population()
    rng = np.random.default_rng(21)

    def found(n: int) -> dict[str, tuple[float, float | None]]:
        prompts = where.prompts(n, rng)
        design = where.design(prompts)
        topic = column_of(design, np.array(TOPICS)[prompts.topic])
        margins = slice_margins(Coordinates(where.points(prompts, 1.0, rng)), design, topic, rng)
        return {name: (m.estimate, m.low) for name, m in zip(margins.names, margins.margins, strict=True)}

    truth = {name: value for name, (value, _) in found(truth_from).items()}
    runs = (found(n) for _ in range(sims))
    return float(
        np.mean([all(low is None or low <= truth[name] for name, (_, low) in run.items()) for run in runs])
    )


def test_lower_bounds_hold_together() -> None:
    """Monte Carlo error .015 (200 runs), that of the truth .004; three of them below .95."""
    assert coverage(150, 200, truth_from=20_000) >= 0.90


@pytest.mark.slow
def test_lower_bounds_hold_together_at_full_size(record_figures: Record) -> None:
    """Monte Carlo error .007 (1000 runs)."""
    for n in (130, 200, 600):
        found = coverage(n, 1000, truth_from=200_000)
        record_figures(f"{n} prompts, four topics", {"joint coverage": found})
        assert found >= 0.92
