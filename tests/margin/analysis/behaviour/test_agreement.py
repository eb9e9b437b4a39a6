"""Agreement and kappa against scikit-learn, the jackknife against leaving prompts out one by one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from margin.analysis.behaviour.agreement import agreement
from tests.intervals import holds, lower


def raters(rng: np.random.Generator, n: int, rows: int) -> tuple[list[str], list[str], list[str]]:
    """Two raters of n prompts that agree more on some prompts than on others."""
    first = rng.choice(["refusal", "answer"], (n, rows), p=[0.3, 0.7])
    swapped = np.where(first == "refusal", "answer", "refusal")
    second = np.where(rng.random((n, rows)) < rng.beta(1, 6, (n, 1)), swapped, first)
    prompts = np.repeat([f"p{i}" for i in range(n)], rows)
    return first.ravel().tolist(), second.ravel().tolist(), prompts.tolist()


def test_share_and_kappa_are_those_of_the_rows() -> None:
    a, b, prompts = raters(np.random.default_rng(0), 30, 3)
    share, kappa = agreement(a, b, prompts)
    assert kappa is not None
    assert share.estimate == pytest.approx(np.mean([x == y for x, y in zip(a, b, strict=True)]))
    assert kappa.estimate == pytest.approx(cohen_kappa_score(a, b))
    assert share.n_prompts == kappa.n_prompts == 30


def test_the_interval_of_kappa_leaves_out_one_prompt_at_a_time() -> None:
    a, b, prompts = (np.array(part) for part in raters(np.random.default_rng(1), 25, 3))
    left_out = [cohen_kappa_score(a[prompts != p], b[prompts != p]) for p in np.unique(prompts)]
    se = np.sqrt(24 / 25 * np.sum((np.array(left_out) - np.mean(left_out)) ** 2))
    kappa = agreement(a.tolist(), b.tolist(), prompts.tolist())[1]
    assert kappa is not None
    assert kappa.se == pytest.approx(se)
    assert lower(kappa) == pytest.approx(kappa.estimate - stats.t.ppf(0.975, 24) * se)


def test_kappa_has_no_interval_at_full_agreement_and_no_value_for_one_label() -> None:
    share, kappa = agreement(["a", "b"] * 5, ["a", "b"] * 5, [str(i) for i in range(10)])
    assert kappa is not None
    assert (share.estimate, kappa.estimate, kappa.low) == (1, 1, None)
    assert share.low == pytest.approx(stats.binomtest(10, 10).proportion_ci(0.95, "exact").low)
    assert agreement(["a"] * 4, ["a"] * 4, list("pqrs"))[1] is None


def test_intervals_cover_agreement_and_kappa_of_the_population() -> None:
    rng, covered = np.random.default_rng(2), np.zeros(2)
    a, b, _ = raters(rng, 100_000, 3)
    truth = np.mean(np.array(a) == np.array(b)), cohen_kappa_score(a, b)
    for _ in range(300):
        found = agreement(*raters(rng, 60, 3))
        covered += [part is not None and holds(part, true) for part, true in zip(found, truth, strict=True)]
    assert (covered / 300 >= 0.92).all(), covered / 300
