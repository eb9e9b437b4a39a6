"""Margins: their definitions, their intervals' coverage, and what they refuse."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from margin.analysis.margins import Variant, margins
from margin.analysis.metrics import Distance
from margin.analysis.sam import sam, silhouette_samples
from margin.analysis.space import Coordinates, Gram
from margin.errors import MarginError
from margin.stats.design import Design, make_design
from tests.intervals import lower
from tests.margin.paired_population import Population
from tests.margin.silhouette_oracle import (
    DISTANCES,
    Array,
    any_points,
    labels,
    paired_points,
    pairwise,
    samples,
)
from tests.simulations import Record


def by_definition(X: Array, design: Design, distance: Distance, plain: bool = False) -> float:
    return float(samples(pairwise(X, distance), design.mode, design.prompt, plain=plain).mean())


@pytest.mark.parametrize("missing", [0.0, 0.4], ids=["complete", "incomplete"])
@pytest.mark.parametrize("distance", DISTANCES)
def test_every_margin_follows_its_definition(distance: Distance, missing: float) -> None:
    rng = np.random.default_rng(30)
    mode, prompt = labels(15, 3, rng, missing)
    X = paired_points(rng, mode, prompt)
    design = make_design(np.array(["pos", "neg", "rej"])[mode], prompt)
    taken = margins(Coordinates(X), design, distance)
    means = np.stack([X[prompt == p].mean(axis=0) for p in prompt])
    own = samples(pairwise(X, distance), design.mode, design.prompt)
    assert taken.plain.estimate == pytest.approx(by_definition(X, design, distance, plain=True), abs=1e-9)
    assert taken.leave_prompt_out.estimate == pytest.approx(own.mean(), abs=1e-9)
    assert taken.prompt_centred.estimate == pytest.approx(
        by_definition(X - means, design, distance), abs=1e-9
    )
    np.testing.assert_allclose(taken.samples, own, atol=1e-9)
    for name, estimate in taken.per_mode.items():
        points = design.mode == design.modes.index(name)
        assert estimate.estimate == pytest.approx(own[points].mean(), abs=1e-9)
    assert len(taken.one_vs_one) == 3
    for pair, estimate in taken.one_vs_one.items():
        points = np.isin(design.mode, [design.modes.index(name) for name in pair])
        alone = by_definition(X[points], design.subset(points), distance)
        assert estimate.estimate == pytest.approx(alone, abs=1e-9)


@pytest.mark.parametrize("distance", DISTANCES)
def test_the_one_line_call_gives_the_same_estimates(distance: Distance) -> None:
    rng = np.random.default_rng(31)
    mode, prompt = labels(12, 3, rng)
    X = paired_points(rng, mode, prompt)
    whole = margins(Coordinates(X), make_design(mode, prompt), distance, level=0.9)
    for variant in get_args(Variant):
        alone, there = (
            sam(any_points(X, distance), mode, prompt, distance, variant, level=0.9),
            getattr(whole, variant),
        )
        assert (alone.method, alone.level, alone.n_prompts) == (there.method, there.level, 12)
        for field in ("estimate", "low", "high", "se"):
            assert getattr(alone, field) == pytest.approx(getattr(there, field), abs=1e-12)
    assert whole.plain.low is None
    if distance != "hellinger2":
        assert sam(X.tolist(), mode, prompt, distance) == sam(X, mode, prompt, distance)


def test_gram_and_coordinates_have_the_same_estimates() -> None:
    rng = np.random.default_rng(32)
    mode, prompt = labels(20, 3, rng, 0.3)
    X = paired_points(rng, mode, prompt, d=40)
    design = make_design(mode, prompt)
    for distance in DISTANCES:
        both = [margins(s, design, distance).to_frame() for s in (Coordinates(X), Gram(X @ X.T))]
        numbers = ["estimate", "low", "high", "se"]
        np.testing.assert_allclose(
            both[0][numbers].to_numpy(float), both[1][numbers].to_numpy(float), atol=1e-9
        )


def test_leave_prompt_out_takes_away_most_of_the_plain_margins_bias() -> None:
    """A prompt's own point under a rival mode is nearer than a fresh draw from that mode would be."""
    population, rng = Population(4), np.random.default_rng(33)
    X, design = population.draw(20_000, rng)
    truth = margins(Coordinates(X), design).leave_prompt_out.estimate
    runs = [margins(Coordinates(X), design) for X, design in (population.draw(15, rng) for _ in range(300))]
    plain = np.mean([run.plain.estimate for run in runs]) - truth
    left_out = np.mean([run.leave_prompt_out.estimate for run in runs]) - truth
    assert plain < -0.01
    assert abs(left_out) < abs(plain) / 2


def test_no_mode_effect_gives_no_margin() -> None:
    runs = [Population(0).draw(30, np.random.default_rng([35, r])) for r in range(60)]
    values = [margins(Coordinates(X), design).prompt_centred for X, design in runs]
    assert -0.05 < np.mean([value.estimate for value in values]) < 0
    assert np.mean([lower(value) > 0 for value in values]) <= 0.05


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"modes": list("ab")}, "4 points but 2 modes"),
        ({"prompts": [1, 2, 3, 4], "modes": list("aabb"), "X": np.ones(4)}, "must be a matrix"),
        ({"prompts": list("pp"), "modes": list("ab"), "X": np.eye(2)}, "at least two prompts, got one"),
        ({"variant": "centred"}, "unknown variant 'centred': take one of plain"),
        ({"distance": "manhattan"}, "unknown distance 'manhattan'"),
        ({"X": np.array([[np.nan, 0], [1, 2], [3, 4], [5, 6]])}, "1 of 4 points .* first at row 0"),
    ],
)
def test_bad_input_is_refused_in_one_line(arguments: dict[str, object], says: str) -> None:
    good: dict[str, Any] = {"X": np.arange(8.0).reshape(4, 2), "modes": list("abab"), "prompts": list("ppqq")}
    if "modes" in arguments and "prompts" not in arguments:
        good["prompts"] = list("pq")
    with pytest.raises(MarginError, match=says) as refused:
        sam(**(good | arguments))
    assert "\n" not in str(refused.value)


def test_plain_silhouettes_refuse_lengths_that_differ() -> None:
    with pytest.raises(MarginError, match="3 points but 4 modes"):
        silhouette_samples(np.eye(3), list("abab"))


def coverage(population: Population, n: int, runs: int, truth_prompts: int) -> pd.DataFrame:
    """Share of runs whose 95% interval holds the limit (a run of `truth_prompts`), and the expected margin of
    a run of n prompts; one line a margin, and one of a naive interval."""
    X, design = population.draw(truth_prompts, np.random.default_rng(36))
    limit = {name: e.estimate for name, e in margins(Coordinates(X), design).estimates.items()}
    limit["points as independent"] = limit["leave_prompt_out"]
    found: dict[str, list[tuple[float, float, float]]] = {}
    for run in range(runs):
        X, design = population.draw(n, np.random.default_rng([37, run]))
        taken = margins(Coordinates(X), design)
        for name, estimate in taken.estimates.items():
            assert estimate.low is not None
            assert estimate.high is not None
            found.setdefault(name, []).append((estimate.estimate, estimate.low, estimate.high))
        naive = stats.t.interval(0.95, len(X) - 1, taken.samples.mean(), stats.sem(taken.samples))
        found.setdefault("points as independent", []).append((float(taken.samples.mean()), *naive))
    lines = {}
    for name, values in found.items():
        value, low, high = np.array(values).T
        held = [float(np.mean((low <= truth) & (truth <= high))) for truth in (limit[name], value.mean())]
        lines[name] = dict(zip(("limit", "expectation"), held, strict=True))
    return pd.DataFrame.from_dict(lines, orient="index")


def test_intervals_cover_and_naive_ones_do_not() -> None:
    """150 runs: the Monte Carlo error of a coverage of .95 is .018, the band four of them wide."""
    covered = coverage(Population(4), n=60, runs=150, truth_prompts=20_000)["limit"]
    naive = covered.pop("points as independent")
    assert naive < 0.8
    assert covered.min() > 0.95 - 4 * 0.018, covered


@pytest.mark.slow
def test_coverage_of_jackknife_intervals(record_figures: Record) -> None:
    """1,000 runs: the Monte Carlo error is .007.

    Where modes make no difference, in the null and on a pair that is one mode, influences vanish to first
    order and the intervals are too wide. There the margin of three modes lies below its limit as well, by the
    least of two equal rivals, and an interval is one for the expectation.
    """
    populations = {
        "strong": Population(4),
        "weak": Population(2),
        "collapsed pair": Population(4, collapsed=True),
        "null": Population(0),
    }
    tables = {name: coverage(p, n=100, runs=1000, truth_prompts=100_000) for name, p in populations.items()}
    table = pd.concat(tables, axis="columns")
    for (name, truth), shares in table.items():
        record_figures(f"{name}, 100 prompts, coverage of the {truth}", shares)
    table = table.drop(index="points as independent")
    regular = table.drop(columns=[("null", "limit"), ("null", "expectation")])
    assert (regular.loc["1 / 2"].xs("collapsed pair") >= 0.95).all()
    regular.loc["1 / 2", "collapsed pair"] = 0.95
    assert ((regular >= 0.92) & (regular <= 0.98)).all(axis=None), regular
    assert (table["null"]["expectation"] >= 0.92).all()


WITHOUT_TORCH = """
import sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers"):
            raise ImportError(name + " is blocked")

sys.meta_path.insert(0, NoTorch())
import pkgutil, importlib
import numpy as np
import margin
import margin.analysis
for module in pkgutil.walk_packages(margin.analysis.__path__, "margin.analysis."):
    importlib.import_module(module.name)
from margin.analysis.sam import sam

rng = np.random.default_rng(0)
print(sam(rng.standard_normal((20, 4)), ["a", "b"] * 10, [i // 2 for i in range(20)]))
"""


def test_the_analysis_needs_no_torch() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "[" in done.stdout


def test_points_that_float32_does_not_tell_apart_are_refused() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 8)) + np.tile([[0.0], [1.0]], (30, 8))
    modes, prompts = ["neg", "pos"] * 30, np.repeat(range(30), 2)
    expected = sam(X, modes, prompts, "euclidean").estimate
    assert sam((X + 1e4).astype(np.float32), modes, prompts, "euclidean").estimate == pytest.approx(
        expected, abs=1e-3
    )
    assert sam(X + 1e6, modes, prompts, "euclidean").estimate == pytest.approx(expected, abs=1e-6)
    for distance in ("euclidean", "cosine"):
        with pytest.raises(MarginError, match="steps of float32 apart"):
            sam((X + 1e6).astype(np.float32), modes, prompts, distance)
    same = np.full((60, 8), 1e6, dtype=np.float32)
    assert sam(same, modes, prompts, "euclidean").estimate == 0
