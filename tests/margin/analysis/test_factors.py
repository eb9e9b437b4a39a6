"""Behaviours within a policy, policies within a behaviour: margins of their own modes alone."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import silhouette_score

from margin.analysis.factors import FactorMargin, factor_margins
from margin.analysis.margins import margins
from margin.analysis.space import Coordinates
from margin.stats.design import Design, make_design
from tests.intervals import lower, upper

MODES = [f"{behaviour}{policy}" for policy in ("", "@zh") for behaviour in ("pos", "neg", "rej")]


def population(n: int, seed: int, apart: float = 1.0) -> tuple[Coordinates, Design]:
    """Behaviours `apart`, policies hardly, prompts of their own."""
    rng = np.random.default_rng(seed)
    behaviour = np.tile(apart * np.eye(3, 8), (2, 1))
    policy = np.repeat(0.05 * np.eye(8)[[3, 4]], 3, axis=0)
    X = rng.normal(size=(n, 1, 8)) * 0.4 + behaviour + policy + rng.normal(size=(n, 6, 8)) * 0.3
    return Coordinates(X.reshape(-1, 8)), make_design(MODES * n, np.repeat(np.arange(n), 6))


def by_name(found: list[FactorMargin]) -> dict[tuple[str, str | None], FactorMargin]:
    return {(one.factor, one.within): one for one in found}


def test_each_is_the_margin_of_its_own_modes_alone() -> None:
    space, design = population(12, seed=0)
    found = by_name(list(factor_margins(space, design, "euclidean")))
    assert list(found) == [
        *(("behaviour", policy) for policy in ("", "zh", None)),
        *(("policy", behaviour) for behaviour in ("pos", "neg", "rej", None)),
    ]
    for (factor, within), one in found.items():
        if within is None:
            continue
        own = [
            m
            for m in MODES
            if (m.partition("@")[2] if factor == "behaviour" else m.partition("@")[0]) == within
        ]
        assert one.modes == tuple(own)
        keep = np.isin(design.mode, [MODES.index(mode) for mode in own])
        alone = margins(Coordinates(space.X[keep]), design.subset(keep), "euclidean")
        assert one.estimates["leave_prompt_out"] == alone.leave_prompt_out
        assert one.estimates["prompt_centred"] == alone.prompt_centred
        labels = np.array(MODES)[design.mode[keep]]
        assert alone.plain.estimate == pytest.approx(silhouette_score(space.X[keep], labels))
    behaviour, policy = (found[name, None].estimates["leave_prompt_out"] for name in ("behaviour", "policy"))
    assert (behaviour.low or 0) > (policy.high or 0)


def test_the_mean_over_values_has_the_interval_of_a_mean_over_the_same_prompts() -> None:
    """Against the delete-one jackknife, by hand."""
    n = 30
    space, design = population(n, seed=1)
    mean = by_name(list(factor_margins(space, design)))["behaviour", None].estimates["leave_prompt_out"]

    def without(prompt: int) -> float:
        keep = design.prompt != prompt
        part = list(factor_margins(Coordinates(space.X[keep]), design.subset(keep)))
        return by_name(part)["behaviour", None].estimates["leave_prompt_out"].estimate

    left_out = np.array([without(prompt) for prompt in range(n)])
    jackknife = float(np.sqrt((n - 1) / n * ((left_out - left_out.mean()) ** 2).sum()))
    parts = by_name(list(factor_margins(space, design)))
    each = [parts["behaviour", policy].estimates["leave_prompt_out"].estimate for policy in ("", "zh")]
    assert mean.estimate == pytest.approx(np.mean(each))
    assert mean.se == pytest.approx(jackknife, rel=0.1)
    assert mean.n_prompts == n


def test_the_mean_over_values_knows_the_clusters_of_its_own_prompts() -> None:
    """Modes that no factor holds may name the prompts first, in another order, and have some of their own."""
    rng = np.random.default_rng(2)
    crossed = [f"{behaviour}@{policy}" for policy in ("en", "zh") for behaviour in ("pos", "neg")]
    modes, n = np.array([*crossed, "rej@fr"]), 12
    X = rng.normal(size=(n, 5, 6)) + rng.normal(size=(n, 1, 6))
    names, cluster = np.array([f"p{i}" for i in range(n)]), np.array([0] * 7 + [1, 2, 3, 4, 5])

    def ends(points: list[tuple[int, int]]) -> list[tuple[float, float]]:
        prompt, mode = np.array(points).T
        design = make_design(modes[mode], names[prompt], cluster[prompt])
        found = factor_margins(Coordinates(X[prompt, mode]), design)
        means = [one.estimates["prompt_centred"] for one in found if one.within is None]
        return [(lower(mean), upper(mean)) for mean in means]

    rows = [(prompt, mode) for prompt in range(1, n) for mode in range(4)]
    alone = ends(rows)
    assert len(alone) == 2
    for others in [(prompt, 4) for prompt in range(n)], [(prompt, 4) for prompt in reversed(range(n))]:
        np.testing.assert_allclose(ends(others + rows), alone)


@pytest.mark.parametrize(
    ("modes", "factors"),
    [
        (["pos", "neg", "rej"], []),
        (["pos@en", "neg@en"], [("behaviour", "en")]),
        (["pos@en", "pos@zh"], [("policy", "pos")]),
        (["pos@en", "neg@zh"], []),
    ],
)
def test_what_is_not_crossed_has_no_margin_of_a_factor(
    modes: list[str], factors: list[tuple[str, str]]
) -> None:
    X = np.random.default_rng(0).normal(size=(8 * len(modes), 3))
    design = make_design(modes * 8, np.repeat(np.arange(8), len(modes)))
    assert list(by_name(list(factor_margins(Coordinates(X), design)))) == factors
