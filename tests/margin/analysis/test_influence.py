"""Influences against numerical derivatives of the weighted definition."""

from __future__ import annotations

import numpy as np
import pytest

from margin.analysis.influence import SilhouetteMean, influence
from margin.analysis.metrics import Distance
from margin.analysis.silhouette import mode_sums, one_vs_one, silhouette
from margin.analysis.space import Coordinates, Gram, Space
from margin.stats.design import make_design
from tests.margin.silhouette_oracle import DISTANCES, Array, labels, paired_points, pairwise, weighted_margin


def numerical(D: Array, mode: Array, prompt: Array, share: Array, step: float = 1e-4) -> Array:
    """Central differences of fourth order in each prompt's weight."""
    n = prompt.max() + 1
    out = np.empty(n)
    for p in range(n):
        values = [
            weighted_margin(D, mode, prompt, 1 + h * step * (np.arange(n) == p), share)
            for h in (-2, -1, 1, 2)
        ]
        out[p] = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * step)
    return out


@pytest.mark.parametrize("missing", [0.0, 0.4], ids=["complete", "incomplete"])
@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("kind", [Coordinates, Gram])
def test_influence_is_the_derivative_in_the_prompts_weight(
    kind: type, distance: Distance, missing: float
) -> None:
    rng = np.random.default_rng(20)
    mode, prompt = labels(9, 3, rng, missing)
    X = paired_points(rng, mode, prompt)
    design = make_design(mode, prompt)
    space: Space = Coordinates(X) if kind is Coordinates else Gram(X @ X.T)
    distances = space.distances(distance)
    sums = mode_sums(distances, design)
    left_out = sums.leave_prompt_out().mean
    overall = silhouette(left_out, design.mode)
    in_pair = np.isin(design.mode, (0, 2)).astype(float)
    some = rng.random(design.n_points)
    shares = {
        "overall": np.ones(design.n_points),
        "one mode": design.onehot[:, 1],
        "one slice": (design.prompt < 4).astype(float),
        "any weights": some,
        "one pair": in_pair,
    }
    parts = [
        SilhouetteMean(one_vs_one(left_out, design.mode, 0, 2) if name == "one pair" else overall, share)
        for name, share in shares.items()
    ]
    U = influence(distances, sums, parts)
    D = pairwise(X, distance)
    for g, (name, share) in enumerate(shares.items()):
        rows = in_pair > 0 if name == "one pair" else share >= 0
        arguments = D[np.ix_(rows, rows)], design.mode[rows], design.prompt[rows]
        value = weighted_margin(*arguments, np.ones(design.n_prompts), share[rows])
        assert parts[g].value == pytest.approx(value, abs=1e-9)
        np.testing.assert_allclose(U[:, g], numerical(*arguments, share[rows]), atol=1e-9, err_msg=name)
    np.testing.assert_allclose(U.sum(axis=0), 0, atol=1e-12)


@pytest.mark.parametrize("case", ["identical modes", "everything constant", "one mode constant"])
def test_degenerate_points_have_finite_influences(case: str) -> None:
    rng = np.random.default_rng(21)
    mode, prompt = labels(6, 3, rng)
    X = paired_points(rng, mode, prompt)
    if case == "identical modes":
        X = rng.standard_normal((6, 4))[prompt]
    elif case == "everything constant":
        X[:] = 1
    else:
        X[mode == 0] = 1
    design = make_design(mode, prompt)
    for distance in DISTANCES:
        distances = Coordinates(X).distances(distance)
        sums = mode_sums(distances, design)
        part = SilhouetteMean(silhouette(sums.leave_prompt_out().mean, design.mode), np.ones(len(X)))
        U = influence(distances, sums, [part])
        assert np.isfinite(U).all()
        if case == "everything constant":
            np.testing.assert_array_equal(U, 0)


def test_float32_influences_agree_with_float64() -> None:
    rng = np.random.default_rng(22)
    mode, prompt = labels(80, 3, rng)
    design = make_design(mode, prompt)
    X = paired_points(rng, mode, prompt, d=48).astype(np.float32) + np.float32(50)
    U = []
    for points in (X, X.astype(np.float64)):
        distances = Coordinates(points).distances("cosine")
        sums = mode_sums(distances, design)
        part = SilhouetteMean(silhouette(sums.leave_prompt_out().mean, design.mode), np.ones(len(X)))
        U.append(influence(distances, sums, [part]))
    np.testing.assert_allclose(U[0], U[1], atol=1e-3 * np.abs(U[1]).max())
