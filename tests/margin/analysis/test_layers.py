"""The curve over layers, its band and where the modes part."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.testing import assert_allclose

from margin.analysis.layers import layer_curve, onset
from margin.analysis.sam import sam
from margin.analysis.separation.variance import variance_split
from margin.analysis.space import Coordinates, Space
from margin.errors import MarginError
from margin.stats.design import Design
from margin.stats.estimate import Estimate
from tests.intervals import lower, upper
from tests.margin.population import Array, Population, population
from tests.margin.silhouette_oracle import pairwise, samples
from tests.simulations import Record

STRENGTHS = (0.0, 0.0, 0.15, 0.5, 0.9, 1.0, 1.0, 1.0)
"""Separation of the modes in layers 0 to 7."""


def layers_of(
    where: Population, n: int, rng: np.random.Generator, strengths: tuple[float, ...] = STRENGTHS
) -> tuple[list[tuple[int, Space]], Design]:
    """States of all layers on n prompts; a point's noise carries over from layer to layer."""
    prompts = where.prompts(n, rng)
    k, d = where.centres.shape
    noise = rng.standard_normal((n * k, d))
    spaces: list[tuple[int, Space]] = []
    for layer, strength in enumerate(strengths):
        noise = 0.9 * noise + np.sqrt(1 - 0.81) * rng.standard_normal(noise.shape)
        spaces.append((layer, Coordinates(where.points(prompts, strength, rng, noise))))
    return spaces, where.design(prompts)


def band_of(*edges: tuple[float, float, float]) -> list[Estimate]:
    return [Estimate(value, low, high, 0.1, 0.95, "by hand", 10) for low, value, high in edges]


def test_margins_are_those_of_each_layer_alone() -> None:
    spaces, design = layers_of(population(), 20, np.random.default_rng(0))
    curve = layer_curve(spaces, design, np.random.default_rng(0), "euclidean")
    for (_, space), left_out, centred in zip(
        spaces, curve.leave_prompt_out, curve.prompt_centred, strict=True
    ):
        assert isinstance(space, Coordinates)
        X: Array = space.X
        direct = samples(pairwise(X, "euclidean"), design.mode, design.prompt).mean()
        assert left_out.estimate == pytest.approx(direct, abs=1e-9)
        own = X.reshape(20, 3, -1)
        centred_points = (own - own.mean(axis=1, keepdims=True)).reshape(X.shape)
        direct = samples(pairwise(centred_points, "euclidean"), design.mode, design.prompt).mean()
        assert centred.estimate == pytest.approx(direct, abs=1e-9)


def test_separation_is_the_variance_split_of_each_layer_alone_with_a_band() -> None:
    spaces, design = layers_of(population(), 40, np.random.default_rng(8))
    curve = layer_curve(spaces, design, np.random.default_rng(0))
    frame = curve.separation_frame()
    assert list(frame.layer) == list(curve.layers)
    for (_, space), share in zip(spaces, curve.separation, strict=True):
        split = variance_split(space.distances("sqeuclidean"), design)
        alone = split.partial_epsilon2
        assert share.estimate == alone.estimate
        assert share.se == pytest.approx(np.sqrt(40 / 39 * np.sum(split.influence**2)))
        assert lower(share) < lower(alone) < upper(alone) < upper(share)
    but_one = np.arange(119)
    lacking = [(layer, space.subset(but_one)) for layer, space in spaces]
    assert layer_curve(lacking, design.subset(but_one), np.random.default_rng(0)).separation == ()


def test_a_band_is_wider_than_the_interval_of_one_layer_and_narrower_than_bonferroni() -> None:
    spaces, design = layers_of(population(), 80, np.random.default_rng(1))
    curve = layer_curve(spaces, design, np.random.default_rng(0))
    modes, prompts = design.mode.astype(str), design.prompt
    for (_, space), band in zip(spaces, curve.leave_prompt_out, strict=True):
        alone = sam(space, modes, prompts)
        bonferroni = sam(space, modes, prompts, level=1 - 0.05 / len(spaces))
        assert band.estimate == pytest.approx(alone.estimate, abs=1e-12)
        assert band.se == pytest.approx(alone.se, rel=1e-9)
        assert upper(alone) < upper(band) < upper(bonferroni)


def test_layers_are_read_one_at_a_time() -> None:
    spaces, design = layers_of(population(), 10, np.random.default_rng(2))

    def one_by_one() -> Iterator[tuple[int, Space]]:
        yield from spaces

    lazy = layer_curve(one_by_one(), design, np.random.default_rng(0)).to_frame()
    assert lazy.equals(layer_curve(spaces, design, np.random.default_rng(0)).to_frame())


def test_frame_names_every_layer_and_variant() -> None:
    spaces, design = layers_of(population(), 10, np.random.default_rng(3), (0.0, 1.0))
    curve = layer_curve([(4, spaces[0][1]), (9, spaces[1][1])], design, np.random.default_rng(0))
    frame = curve.to_frame()
    assert list(zip(frame.layer, frame.variant, strict=True)) == [
        (4, "leave_prompt_out"),
        (9, "leave_prompt_out"),
        (4, "prompt_centred"),
        (9, "prompt_centred"),
    ]
    assert (frame.low < frame.estimate).all()
    assert set(frame.distance) == {"cosine"}
    assert curve.onset.to_frame().shape[0] == 1


def test_the_modes_part_where_the_margin_is_above_0_for_good() -> None:
    excursion, below, above = (0.1, 0.2, 0.3), (-0.3, -0.2, -0.1), (0.3, 0.4, 0.5)
    unclear_low, unclear_high = (-0.2, -0.1, 0.1), (-0.1, 0.1, 0.2)
    found = onset([0, 3, 6, 9, 12, 15], band_of(excursion, below, unclear_low, unclear_high, above, above))
    assert (found.low, found.layer, found.high) == (6, 9, 12)


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ((-0.3, -0.2, -0.1), (None, None, None)),
        ((-0.3, -0.2, 0.1), (1, None, None)),
        ((-0.1, 0.2, 0.4), (1, 1, None)),
        ((0.0, 0.0, 0.0), (None, None, None)),
    ],
    ids=["shown not to", "not by the estimate", "not shown to", "identical"],
)
def test_modes_that_do_not_part_by_the_last_layer(
    last: tuple[float, float, float], expected: tuple[int | None, ...]
) -> None:
    found = onset([0, 1], band_of((-0.3, -0.2, -0.1), last))
    assert (found.low, found.layer, found.high) == expected


def test_half_of_the_last_margin_is_reached_later_than_0_is_left() -> None:
    spaces, design = layers_of(population(), 60, np.random.default_rng(4), (0.6, 1.0, 4.0))
    strong = layer_curve(spaces, design, np.random.default_rng(0))
    margins = [e.estimate for e in strong.leave_prompt_out]
    assert margins[1] < margins[2] / 2
    assert strong.half == 2
    assert layer_curve([(0, spaces[2][1]), (1, spaces[2][1])], design, np.random.default_rng(0)).half == 0
    below = layer_curve(
        [(0, spaces[2][1]), (1, Coordinates(np.ones((180, 3))))], design, np.random.default_rng(0)
    )
    assert below.half is None


def test_modes_that_are_identical_in_early_layers_do_not_part_there() -> None:
    """Before attention mixes the token in, the last position holds the same state under every mode."""
    spaces, design = layers_of(population(), 60, np.random.default_rng(4), (2.0, 2.0, 2.0))
    same = np.repeat(np.random.default_rng(5).standard_normal((60, 8)), 3, axis=0).astype(np.float32) + 30
    curve = layer_curve(
        [(0, Coordinates(same)), *[(1 + i, space) for i, space in spaces]], design, np.random.default_rng(0)
    )
    first = curve.leave_prompt_out[0], curve.prompt_centred[0]
    assert_allclose([(e.estimate, lower(e), upper(e)) for e in first], 0, atol=1e-8)
    assert (curve.onset.low, curve.onset.layer, curve.onset.high) == (1, 1, 1)


def test_two_prompts_give_a_curve() -> None:
    spaces, design = layers_of(population(), 2, np.random.default_rng(6))
    frame = layer_curve(spaces, design, np.random.default_rng(0)).to_frame()
    assert np.isfinite(frame[["estimate", "low", "high", "se"]].to_numpy()).all()


def test_bad_input_is_named() -> None:
    spaces, design = layers_of(population(), 5, np.random.default_rng(7))
    rng = np.random.default_rng(0)
    with pytest.raises(MarginError, match="no layer"):
        layer_curve([], design, rng)
    with pytest.raises(MarginError, match="layer 0 comes after layer 1"):
        layer_curve([spaces[1], spaces[0]], design, rng)
    with pytest.raises(MarginError, match="15 points but 12 modes"):
        layer_curve(spaces, design.subset(np.arange(15) < 12), rng)
    with pytest.raises(MarginError, match="two prompts"):
        layer_curve([(0, spaces[0][1].subset(np.arange(3)))], design.subset(np.arange(3)), rng)


def coverage(k: int, n: int, strengths: tuple[float, ...], sims: int) -> tuple[float, float, float]:
    """Share of runs whose two bands cover all layers, and whose onset interval covers the layer.

    What is to be covered is the expected margin of a run of n prompts, here the mean over the runs (its
    error is that of a run over sqrt(sims)).
    """
    where = population(k=k)
    rng = np.random.default_rng(11)
    curves = [layer_curve(*layers_of(where, n, rng, strengths), rng) for _ in range(sims)]
    covered = []
    for variant in ("leave_prompt_out", "prompt_centred"):
        bands = [getattr(curve, variant) for curve in curves]
        truth = np.mean([[e.estimate for e in band] for band in bands], axis=0)
        covered.append(
            np.mean([all(e.low <= t <= e.high for e, t in zip(b, truth, strict=True)) for b in bands])
        )
    truth = np.mean([[e.estimate for e in curve.leave_prompt_out] for curve in curves], axis=0)
    never = len(strengths)
    part = onset(range(never), [Estimate(v, v, v) for v in truth]).layer
    place = never if part is None else part
    intervals = [
        [never if edge is None else edge for edge in (curve.onset.low, curve.onset.high)] for curve in curves
    ]
    return (
        float(covered[0]),
        float(covered[1]),
        float(np.mean([low <= place <= high for low, high in intervals])),
    )


def test_bands_and_onset_interval_cover() -> None:
    """Monte Carlo error .02 (120 runs); three of them below .95."""
    assert min(coverage(3, 60, (0.0, 0.3, 0.7, 1.0), 120)) >= 0.89


@pytest.mark.slow
def test_bands_and_onset_interval_cover_at_full_size(record_figures: Record) -> None:
    """Monte Carlo error .008 (800 runs). Flat curves run along 0, where an onset layer is hard to tell."""
    flat_2, flat_3 = (0.0, *[0.1] * 6, 0.15), (0.0, *[0.8] * 6, 0.85)
    for name, k, strengths in (
        ("rising", 2, STRENGTHS),
        ("rising", 3, STRENGTHS),
        ("flat", 2, flat_2),
        ("flat", 3, flat_3),
    ):
        for n in (60, 200):
            found = coverage(k, n, strengths, 800)
            margins = ("leave-prompt-out", "prompt-centred", "parting layer")
            record_figures(f"{name}, {k} modes, {n} prompts", dict(zip(margins, found, strict=True)))
            assert min(found) >= 0.92
