"""Bootstrap replicates against the weighted definition."""

from __future__ import annotations

import numpy as np
import pytest

from margin.analysis import bootstrap as module
from margin.analysis.bootstrap import prompt_weights, replicate_samples
from margin.analysis.metrics import Distance
from margin.analysis.space import Coordinates, Gram, Space
from margin.stats.design import make_design
from tests.margin.silhouette_oracle import DISTANCES, labels, paired_points, pairwise, weighted_margin


def test_weights_count_draws() -> None:
    design = make_design([0, 1] * 30, np.repeat(np.arange(30), 2))
    weights = prompt_weights(design, 4000, np.random.default_rng(60))
    assert weights.shape == (30, 4000)
    np.testing.assert_array_equal(weights.sum(axis=0), 30)
    assert weights.var() == pytest.approx(1 - 1 / 30, rel=0.02)


@pytest.mark.parametrize("chunk", [1, 2**25])
@pytest.mark.parametrize("missing", [0.0, 0.5], ids=["complete", "incomplete"])
@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("kind", [Coordinates, Gram])
def test_replicates_follow_the_weighted_definition(
    kind: type, distance: Distance, missing: float, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", chunk)
    rng = np.random.default_rng(61)
    mode, prompt = labels(7, 3, rng, missing)
    X = paired_points(rng, mode, prompt)
    design = make_design(mode, prompt)
    space: Space = Coordinates(X) if kind is Coordinates else Gram(X @ X.T)
    weights = np.hstack([prompt_weights(design, 10, rng), np.ones((7, 1)), 7 * np.eye(7)[:, :1]])
    taken = np.concatenate(
        [
            (samples * of_point).sum(axis=0) / of_point.sum(axis=0)
            for samples, of_point in replicate_samples(space.distances(distance), design, weights)
        ]
    )
    D = pairwise(X, distance)
    ones = np.ones(len(mode))
    expected = [weighted_margin(D, design.mode, design.prompt, w, ones) for w in weights.T]
    np.testing.assert_allclose(taken, expected, atol=1e-9)
