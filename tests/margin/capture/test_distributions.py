"""The head pass against whole distributions, computed in float64 by NumPy and SciPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from scipy.special import log_softmax, logsumexp, softmax
from scipy.stats import entropy

from margin.capture import distributions, head
from margin.capture.distributions import (
    affine_geometry,
    capped_geometry,
    hellinger_products,
    token_statistics,
)
from margin.capture.head import Head
from margin.capture.headpass import agreement, gram_rows
from margin.errors import MarginError
from margin.run.geometry import LogitGeometry, LogitSpace, from_factor

V, D, N, K = 301, 12, 8, 3
SPACES: tuple[LogitSpace, ...] = ("logits", "centred", "logprobs")


@pytest.fixture(autouse=True)
def small_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several stretches of vocabulary and of rows, as a real model has, and the last one shorter."""
    monkeypatch.setattr(head, "CHUNK", 64)
    monkeypatch.setattr(distributions, "CELLS", 4 * V)


@pytest.fixture
def states() -> torch.Tensor:
    """States with a large offset that all share, as real ones have."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(N * K, D, generator=generator) + 3 * torch.randn(1, D, generator=generator)


def make_head(softcap: float | None = None) -> Head:
    generator = torch.Generator().manual_seed(2)
    weight = torch.randn(V, D, generator=generator)
    return Head(weight, torch.randn(V, generator=generator), scale=0.5, softcap=softcap)


def whole_logits(made_by: Head, states: torch.Tensor) -> np.ndarray:
    """(N K, V) float64."""
    assert made_by.bias is not None
    raw = states.double().numpy() @ made_by.weight.double().numpy().T + made_by.bias.double().numpy()
    raw *= made_by.scale
    capped: np.ndarray = raw if made_by.softcap is None else made_by.softcap * np.tanh(raw / made_by.softcap)
    return capped


def points(logits: np.ndarray, space: LogitSpace) -> np.ndarray:
    match space:
        case "logits":
            return logits
        case "centred":
            centred: np.ndarray = logits - logits.mean(axis=1, keepdims=True)
            return centred
        case "logprobs":
            logprobs: np.ndarray = log_softmax(logits, axis=1)
            return logprobs


def test_a_head_makes_its_logits_stretch_by_stretch(states: torch.Tensor) -> None:
    for softcap in (None, 4.0):
        made_by = make_head(softcap)
        assert np.allclose(made_by.logits(states).numpy(), whole_logits(made_by, states), atol=1e-5)


@pytest.mark.parametrize(("many", "kept"), [(2**27, np.float64), (0, np.float32)])
def test_coordinates_of_an_affine_head_carry_all_inner_products(
    states: torch.Tensor, many: int, kept: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("margin.run.geometry.MANY", many)
    monkeypatch.setattr("margin.run.geometry.ROWS", 7)
    made_by = make_head()
    logits = whole_logits(made_by, states)
    stored: dict[str, Any] = {**affine_geometry(made_by)}
    lse = logsumexp(logits, axis=1).astype(np.float32)
    geometry = from_factor(states.numpy(), lse, stored["factor"], stored["column_sum"], V)

    for space in SPACES:
        expected = points(logits, space)
        coordinates = geometry.coordinates(space)
        assert coordinates is not None
        assert coordinates.shape == (N * K, D + 2)
        assert coordinates.dtype == kept
        products = expected @ expected.T
        assert np.allclose(coordinates @ coordinates.T, products, atol=1e-5 * np.abs(products).max())
        assert np.allclose(geometry.gram(space), products, atol=1e-5 * np.abs(products).max())


def test_products_of_a_capped_head_are_those_of_the_capped_logits(states: torch.Tensor) -> None:
    made_by = make_head(softcap=4.0)
    logits = whole_logits(made_by, states)
    stored: dict[str, Any] = {**capped_geometry(made_by, states)}
    geometry = LogitGeometry(
        rows=np.arange(N * K),
        means=stored["means"],
        logsumexp=logsumexp(logits, axis=1),
        vocabulary=V,
        points=None,
        products=stored["products"] + stored["cross"][:, None] + stored["cross"] + stored["origin"],
    )

    assert geometry.coordinates() is None
    for space in SPACES:
        expected = points(logits, space) @ points(logits, space).T
        assert np.allclose(geometry.gram(space), expected, atol=1e-5 * np.abs(expected).max())


def test_an_unknown_space_is_refused(states: torch.Tensor) -> None:
    stored: dict[str, Any] = {**affine_geometry(make_head())}
    geometry = from_factor(
        states.numpy(), np.zeros(N * K, np.float32), stored["factor"], stored["column_sum"], V
    )
    with pytest.raises(MarginError, match="unknown logit space 'probs'"):
        geometry.gram("probs")  # type: ignore[arg-type]


def test_hellinger_products_give_the_hellinger_distance_of_the_distributions(states: torch.Tensor) -> None:
    made_by = make_head()
    logits = whole_logits(made_by, states)
    lse = torch.tensor(logsumexp(logits, axis=1), dtype=torch.float32)
    products = hellinger_products(made_by, states, lse).astype(np.float64)

    roots = np.sqrt(softmax(logits, axis=1))
    expected = 1 - np.clip(roots @ roots.T, 0, 1)
    norms = np.diag(products)
    found = (norms[:, None] + norms - 2 * products) / 2
    assert np.allclose(found, expected, atol=1e-6)


def test_distances_of_pairs_agree_with_scipy(states: torch.Tensor) -> None:
    made_by = make_head()
    p = softmax(whole_logits(made_by, states), axis=1)
    places = np.arange(N * K).reshape(N, K)[::-1].copy()  # prompts need not be in row order
    seen: list[int] = []
    table = token_statistics(
        made_by, states, places, lambda rows, logits: seen.extend(rows.tolist()),
        [f"p{i}" for i in range(N)], ["pos", "neg", "rej"],
    ).pairs  # fmt: skip

    assert sorted(seen) == list(range(N * K))
    assert len(table) == N * K
    for i in range(N):
        for a, b, one, other in ((0, 1, "pos", "neg"), (0, 2, "pos", "rej"), (1, 2, "neg", "rej")):
            row = table[(table.prompt_id == f"p{i}") & (table.mode_a == one) & (table.mode_b == other)].iloc[
                0
            ]
            left, right = p[places[i, a]], p[places[i, b]]
            assert row.js_bits == pytest.approx(jensenshannon(left, right, base=2) ** 2, abs=1e-6)
            assert row.tv == pytest.approx(np.abs(left - right).sum() / 2, abs=1e-6)
            assert row.hellinger2 == pytest.approx(1 - np.sqrt(left * right).sum(), abs=1e-6)


def test_information_and_marginals_agree_with_scipy(states: torch.Tensor) -> None:
    made_by = make_head()
    places = np.arange(N * K).reshape(N, K)[::-1].copy()
    p = softmax(whole_logits(made_by, states), axis=1)[places]
    found = token_statistics(
        made_by, states, places, lambda rows, logits: None, [f"p{i}" for i in range(N)], ["pos", "neg", "rej"]
    )

    of_mean = entropy(p.mean(axis=1), base=2, axis=1)
    expected = of_mean - entropy(p, base=2, axis=2).mean(axis=1)
    assert found.information["prompt_id"].tolist() == [f"p{i}" for i in range(N)]
    assert found.information["bits"].to_numpy() == pytest.approx(expected, abs=1e-6)
    assert found.marginals.shape == (K, V)
    assert np.allclose(found.marginals, p.mean(axis=0), rtol=1e-4, atol=1e-8)


def test_equal_and_disjoint_distributions_lie_at_the_ends_of_the_range() -> None:
    made_by = Head(torch.tensor([[300.0], [-300.0], [0.0]]), None)
    states = torch.tensor([[1.0], [1.0], [1.0], [-1.0]])
    found = token_statistics(
        made_by, states, np.array([[0, 1], [2, 3]]), lambda rows, logits: None, ["same", "apart"], ["a", "b"]
    )
    table = found.pairs
    assert found.information.set_index("prompt_id")["bits"].to_dict() == {"same": 0, "apart": 1}
    assert table.set_index("prompt_id").loc["same", ["js_bits", "tv", "hellinger2"]].eq(0).all()
    assert table.set_index("prompt_id").loc["apart", ["js_bits", "tv", "hellinger2"]].eq(1).all()


def test_logits_that_are_not_those_of_the_forward_pass_are_refused(states: torch.Tensor) -> None:
    logits = make_head().logits(states)
    top = logits.topk(5)
    check = agreement(logits.logsumexp(dim=1), top.indices, top.values, 1e-4)
    rows = torch.arange(N * K)
    check(rows, logits)
    with pytest.raises(MarginError, match="does not reproduce"):
        check(rows, logits * 1.001)
    with pytest.raises(MarginError, match="does not reproduce"):
        check(rows, logits.where(logits > -1e9, torch.nan) * torch.nan)


def test_a_run_with_too_many_rows_keeps_all_rows_of_some_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("margin.capture.headpass.LARGEST_GRAM", 100)
    prompt_of_row = np.repeat(np.arange(50), 3)
    rows = gram_rows(prompt_of_row, seed=3)
    assert len(rows) == 99
    assert (np.diff(rows) > 0).all()
    assert (np.unique(prompt_of_row[rows], return_counts=True)[1] == 3).all()
    assert (rows == gram_rows(prompt_of_row, seed=3)).all()
    assert not np.array_equal(rows, gram_rows(prompt_of_row, seed=4))
    assert len(gram_rows(prompt_of_row[:99], seed=3)) == 99
