"""Where patched rows land, how far they went, and the layer where they go over, with its interval."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import norm

from margin.analysis.directions import PROJECTED_OUT, Directions, directions, of_length, permuted
from margin.analysis.robustness.assignment import assign
from margin.analysis.trace import HALF, Landmarks, handover, margin_of, shares, transfer
from margin.stats.clusters import Clusters
from margin.stats.estimate import Estimate
from tests.simulations import Record

Float = NDArray[np.float64]


def marks(n: int = 40, k: int = 3, width: int = 6, seed: int = 0) -> Landmarks:
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((n, 1, width)) * 3 + rng.standard_normal((k, width)) * 1.2
    return Landmarks(points + rng.standard_normal((n, k, width)), np.arange(n) % 5)


def test_rows_that_nothing_was_done_to_land_as_the_landings_say() -> None:
    found = marks()
    n, k, width = found.points.shape
    prompt = np.repeat(np.arange(n), k)
    X = found.points.reshape(-1, width)
    landing = assign("centroid", X, np.arange(n * k).reshape(n, k), prompt, found.fold)
    assert np.array_equal(found.distances(X, prompt).argmin(axis=1), landing.nearest)
    mine, its = found.accuracy(), landing.accuracy()
    assert (mine.estimate, mine.low, mine.high) == pytest.approx((its.estimate, its.low, its.high))
    assert mine.estimate == pytest.approx(landing.balanced_accuracy)


def test_no_prompt_has_a_part_in_what_it_is_placed_by() -> None:
    found, moved = marks(), marks().points
    moved[3] += 100 * np.random.default_rng(1).standard_normal(moved[3].shape)
    other = Landmarks(moved, found.fold)
    point, prompt = np.ones((1, 6)), np.array([3])
    before = found.distances(point + found.points[3].mean(axis=0), prompt)
    after = other.distances(point + moved[3].mean(axis=0), prompt)
    assert np.allclose(before, after)


def test_transfer_is_0_at_the_recipient_1_at_the_donor_and_blind_across() -> None:
    rng = np.random.default_rng(2)
    recipient, donor = rng.standard_normal((2, 7, 5))
    way = donor - recipient
    across = np.linalg.svd(way[0][None])[2][1:]
    assert np.allclose(transfer(recipient, recipient, donor), 0)
    assert np.allclose(transfer(donor, recipient, donor), 1)
    assert np.allclose(transfer(recipient + 0.3 * way, recipient, donor), 0.3)
    assert np.allclose(transfer(recipient[:1] + across[:1], recipient[:1], donor[:1]), 0)
    assert np.isnan(transfer(recipient, recipient, recipient)).all()


def test_the_margin_is_a_silhouette_of_distances() -> None:
    distances = np.array([[1.0, 2.0, 4.0], [3.0, 1.0, 2.0], [0.0, 0.0, 0.0]])
    mode = np.array([0, 0, 1])
    assert margin_of(distances, mode).tolist() == [0.5, pytest.approx(-2 / 3), 0.0]


def band(*ends: tuple[float, float, float]) -> list[Estimate]:
    return [Estimate(value, low, high, 0.05, 0.95, "", 50) for low, value, high in ends]


def test_the_handover_lies_between_where_the_bands_edges_stay_above() -> None:
    found = handover(
        [0, 5, 10, 15],
        band((0.0, 0.1, 0.2), (0.2, 0.4, 0.6), (0.4, 0.6, 0.8), (0.7, 0.9, 1.0)),
        HALF,
    )
    assert (found.layer, found.low, found.high) == (10, 5, 15)
    assert found.n_prompts is not None
    assert found.n_prompts > 50


def test_a_layer_above_before_one_that_is_not_decides_nothing() -> None:
    found = handover([0, 1, 2], band((0.6, 0.7, 0.8), (0.1, 0.2, 0.3), (0.6, 0.7, 0.8)), HALF)
    assert (found.layer, found.low, found.high, found.n_prompts) == (2, 2, 2, None)


def test_where_no_layer_decides_none_is_named() -> None:
    found = handover([0, 1], band((0.0, 0.1, 0.2), (0.1, 0.2, 0.3)), HALF)
    assert (found.layer, found.low, found.high) == (None, None, None)


def test_a_band_at_a_perfect_score_is_no_point() -> None:
    hits = np.ones((30, 2))
    found = shares(hits, np.random.default_rng(0))
    assert all(each.low is not None and 0.8 < each.low < 1 and each.high == 1 for each in found)


DEPTH = 13


def landed(n: int, rng: np.random.Generator, spread: float, steep: float, size: int = 1) -> Float:
    """(n, layers) shares of six pairs that land with the donor, crossing one half after layer 5.

    Each prompt, or cluster of `size` prompts, goes over at a layer of its own, and its pairs resemble it.
    """
    own = np.repeat(rng.standard_normal((n + size - 1) // size), size)[:n] * spread
    pairs = own[:, None] + 0.5 * spread * rng.standard_normal((n, 6))
    chance = expit(steep * (np.arange(DEPTH) - 5.4 - pairs[:, :, None]))
    found: Float = (rng.random((n, 6, 1)) < chance).mean(axis=1)
    return found


def share_at(layer: int, spread: float, steep: float) -> float:
    """Expected share at a layer, by quadrature over prompts and pairs."""
    z = np.linspace(-6, 6, 2001)
    weights = norm.pdf(z) / norm.pdf(z).sum()
    whole = spread * np.sqrt(1.25) * z
    return float(np.sum(weights * expit(steep * (layer - 5.4 - whole))))


def coverage(n: int, spread: float, steep: float, size: int, sims: int) -> float:
    """Share of simulations whose interval holds the layer where more than half are expected to land."""
    rng = np.random.default_rng(5)
    truth = next(layer for layer in range(DEPTH) if share_at(layer, spread, steep) > HALF)
    over = None if size == 1 else Clusters(np.arange(n) // size)
    held = 0
    for _ in range(sims):
        found = handover(range(DEPTH), shares(landed(n, rng, spread, steep, size), rng, over=over), HALF)
        held += found.low is not None and found.low <= truth and (found.high is None or truth <= found.high)
    return held / sims


@pytest.mark.parametrize(("n", "spread", "steep", "size"), [(40, 0.5, 2.0, 1), (60, 2.0, 2.0, 6)])
def test_the_interval_of_the_layer_covers_it(n: int, spread: float, steep: float, size: int) -> None:
    assert coverage(n, spread, steep, size, 60) >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "spread", "steep", "size"),
    [(30, 0.5, 2.0, 1), (60, 0.5, 2.0, 1), (60, 2.0, 2.0, 1), (60, 3.0, 0.7, 1), (60, 2.0, 2.0, 6)],
)
def test_the_interval_of_the_layer_covers_at_full_size(
    n: int, spread: float, steep: float, size: int, record_figures: Record
) -> None:
    found = coverage(n, spread, steep, size, 400)
    record_figures(
        f"{n} prompts in clusters of {size}, layers of prompts spread by {spread}", {"coverage": found}
    )
    assert found >= 0.92


def test_a_direction_is_never_found_on_the_prompt_it_steers() -> None:
    rng = np.random.default_rng(3)
    states, fold = rng.standard_normal((20, 3, 4)), np.arange(20) % 4
    moved = states.copy()
    moved[fold == 2] += 50
    assert np.allclose(directions(states, fold)[2], directions(moved, fold)[2])
    expected = states[fold != 2, 1].mean(axis=0) - states[fold != 2, 0].mean(axis=0)
    assert np.allclose(directions(states, fold)[2, 0, 1], expected)


def test_controls_have_the_length_of_the_direction_and_permuting_keeps_a_prompts_states() -> None:
    rng = np.random.default_rng(4)
    states, fold = rng.standard_normal((24, 3, 5)), np.arange(24) % 4
    found = Directions.of({2: states}, {2: states[:12]}, fold, tuple(range(12)), seed=0)
    lengths = np.linalg.norm(found.vectors["direction"][2], axis=-1)
    assert set(found.controls) == {"direction", "random", "permuted", "decoys"}
    for control in found.controls:
        assert np.allclose(np.linalg.norm(found.vectors[control][2], axis=-1), lengths)
    assert np.allclose(np.sort(permuted(states, rng), axis=1), np.sort(states, axis=1))
    assert np.allclose(of_length(np.zeros(3), np.ones(3)), 0)


def test_a_dose_adds_the_direction_and_projecting_out_leaves_the_part_of_all_modes() -> None:
    rng = np.random.default_rng(6)
    states, fold = rng.standard_normal((12, 2, 4)) + np.array([[0.0], [2.0]]), np.arange(12) % 3
    found = Directions.of({1: states}, {}, fold, (), seed=0)
    own, prompts = states[:, 0].astype(np.float32), np.arange(12)
    assert np.array_equal(found.changed(1, (0, 1), "direction", 0.0, prompts, own), own)
    steered = found.changed(1, (0, 1), "direction", 2.0, prompts, own)
    assert np.allclose(steered, own + 2 * directions(states, fold)[fold, 0, 1], atol=1e-5)
    out = found.changed(1, (0, 1), PROJECTED_OUT, 1.0, prompts, own)
    along = directions(states, fold)[fold, 0, 1]
    assert np.allclose(((out - found.centres[1][fold]) * along).sum(axis=1), 0, atol=1e-4)
