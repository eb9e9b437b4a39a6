"""First-token margins against their definition, token by token, and what cross-fitting is for."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from margin.analysis.token_margin import token_margins
from margin.errors import MarginError
from margin.stats.design import Design, make_design
from margin.stats.folds import prompt_folds
from tests.margin.silhouette_oracle import Array, labels

V = 40


def top_tokens(logits: Array, k: int) -> tuple[Array, Array, Array]:
    """ids, logits and logsumexp as a run holds them."""
    ids = np.argsort(-logits, axis=1)[:, :k].astype(np.int32)
    top = np.take_along_axis(logits, ids, axis=1).astype(np.float32)
    return ids, top, np.log(np.exp(logits).sum(axis=1)).astype(np.float32)


def run_of(
    n: int, k: int = 3, effect: float = 2.0, missing: float = 0.0, seed: int = 0
) -> tuple[Array, Design]:
    """(N, V) logits: a prompt's own first tokens, and those of the mode (three each, from token 0 on)."""
    rng = np.random.default_rng(seed)
    mode, prompt = labels(n, k, rng, missing)
    logits = rng.standard_normal((n, V))[prompt] + 0.5 * rng.standard_normal((len(mode), V))
    for c in range(k):
        logits[mode == c, 3 * c : 3 * c + 3] += effect
    return logits, make_design([f"m{c}" for c in mode], [f"p{p}" for p in prompt])


@pytest.mark.parametrize("missing", [0.0, 0.3], ids=["complete", "incomplete"])
@pytest.mark.parametrize("top", [6, V], ids=["few top tokens", "whole distribution"])
def test_margins_are_those_of_the_definition(top: int, missing: float) -> None:
    """Sets from mean probabilities over the other folds, margins token by token."""
    logits, design = run_of(15, missing=missing)
    ids, values, total = top_tokens(logits, top)
    found = token_margins(ids, values, total, design, np.random.default_rng(0), folds=3, size=4)
    fold = prompt_folds(design, np.random.default_rng(0), 3)[design.prompt]
    top_of = [
        {t: float(np.exp(v - s)) for t, v in zip(*row, strict=True)}
        for *row, s in zip(ids, values.astype(float), total.astype(float), strict=True)
    ]
    P = np.array([[of.get(t, 0) for t in range(V)] for of in top_of])
    for i in range(design.n_points):
        log = []
        for c, name in enumerate(design.modes):
            mean = [P[(fold != fold[i]) & (design.mode == m)].mean(axis=0) for m in range(3)]
            difference = mean[c] - np.max([m for a, m in enumerate(mean) if a != c], axis=0)
            best = [t for t in np.argsort(-difference, kind="stable")[:4] if difference[t] > 1e-6]
            reported = found.tokens.query(f"fold == {fold[i]} and mode == '{name}'")
            assert list(reported.token) == best
            assert_allclose(reported.difference, difference[best])
            log.append(np.log(max(sum(top_of[i].get(t, 0) for t in best), min(top_of[i].values()))))
        own = log.pop(design.mode[i])
        assert found.margins[i] == pytest.approx(own - max(log), abs=1e-9)


def test_the_modes_own_tokens_are_found() -> None:
    logits, design = run_of(60, effect=3.0)
    found = token_margins(*top_tokens(logits, 20), design, np.random.default_rng(0), size=3)
    for (_, mode), tokens in found.to_frame().groupby(["fold", "mode"])["token"]:
        c = int(mode[1:])
        assert set(tokens) == set(range(3 * c, 3 * c + 3))
    assert (found.margins > 0).mean() > 0.8


def test_margins_grow_with_the_effect() -> None:
    means = []
    for effect in (0.5, 1.5, 3.0, 6.0):
        logits, design = run_of(60, effect=effect)
        found = token_margins(*top_tokens(logits, 20), design, np.random.default_rng(0))
        means.append(found.margins.mean())
    assert means == sorted(means)


def test_without_a_difference_margins_are_not_above_0() -> None:
    """Two modes that differ by noise alone: sets chosen on the same prompts would set them apart."""
    means, in_sample = [], []
    for seed in range(30):
        logits, design = run_of(20, k=2, effect=0.0, seed=seed)
        tops = top_tokens(logits, V)
        means.append(token_margins(*tops, design, np.random.default_rng(seed)).margins.mean())
        P = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        gap = P[design.mode == 0].mean(axis=0) - P[design.mode == 1].mean(axis=0)
        sets = np.argsort(-gap)[:10], np.argsort(gap)[:10]
        log = np.log([P[:, s].sum(axis=1) for s in sets])
        in_sample.append(((log[0] - log[1]) * np.where(design.mode == 0, 1, -1)).mean())
    error = np.std(means) / np.sqrt(len(means))
    assert abs(np.mean(means)) < 3 * error
    assert np.mean(in_sample) > 10 * error


def test_identical_modes_have_no_tokens_and_no_margin() -> None:
    _, design = run_of(12)
    same = np.random.default_rng(0).standard_normal((12, V))[design.prompt]
    found = token_margins(*top_tokens(same, 10), design, np.random.default_rng(0))
    assert found.tokens.empty
    assert_allclose(found.margins, 0)


def test_a_response_that_starts_as_another_mode_does_is_below_0() -> None:
    logits, design = run_of(40, effect=5.0)
    swapped = (design.prompt == 3) & (design.mode == design.modes.index("m0"))
    logits[swapped, :6] = logits[swapped][:, [3, 4, 5, 0, 1, 2]]
    found = token_margins(*top_tokens(logits, 20), design, np.random.default_rng(0))
    assert found.margins[swapped] < -2
    assert np.quantile(found.margins, 0.1) > 0


def test_row_order_does_not_matter() -> None:
    logits, design = run_of(20)
    found = token_margins(*top_tokens(logits, 10), design, np.random.default_rng(0)).margins
    order = np.random.default_rng(1).permutation(design.n_points)
    again = token_margins(*top_tokens(logits[order], 10), design.subset(order), np.random.default_rng(0))
    assert_allclose(again.margins, found[order], rtol=1e-9)


def test_masked_logits_do_not_make_margins_infinite() -> None:
    logits, design = run_of(20)
    ids, values, total = top_tokens(logits, 10)
    values[:, -3:] = -np.inf
    found = token_margins(ids, values, total, design, np.random.default_rng(0)).margins
    assert np.isfinite(found).all()
    assert np.abs(found).max() < 20


def test_two_prompts_suffice_and_one_does_not() -> None:
    logits, design = run_of(2)
    assert np.isfinite(token_margins(*top_tokens(logits, 5), design, np.random.default_rng(0)).margins).all()
    one = design.prompt == 0
    with pytest.raises(MarginError, match="at least two"):
        token_margins(*top_tokens(logits[one], 5), design.subset(one), np.random.default_rng(0))


def test_lengths_that_differ_are_named() -> None:
    logits, design = run_of(4)
    ids, values, total = top_tokens(logits, 5)
    with pytest.raises(MarginError, match="12 points, but top tokens of 11"):
        token_margins(ids[:-1], values, total, design, np.random.default_rng(0))
