"""Sums over whole next-token distributions, in stretches of the vocabulary or of rows.

The distributions of all rows are never held at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from margin.capture.head import Head

CELLS = 2**22
"""Logits held at once in a pass over rows."""

Columns = Callable[[int, int], Tensor]


@dataclass(frozen=True, eq=False)
class CentredProducts:
    """Inner products of M vectors of V numbers about their mean, and what leads back to the origin."""

    products: Tensor
    """(M, M) float64, of each vector minus the mean vector."""
    cross: Tensor
    """(M,) float64, of each centred vector with the mean vector."""
    origin: Tensor
    """() float64, the mean vector's squared norm."""
    sums: Tensor
    """(M,) float64, sum of each vector."""


def centred_products(columns: Columns, stretches: Sequence[tuple[int, int]], n_rows: int) -> CentredProducts:
    """Accumulate inner products over stretches of the vocabulary. Costs M^2 V."""
    total: CentredProducts | None = None
    for start, stop in stretches:
        values = columns(start, stop)
        mean = values.mean(dim=0, dtype=torch.float64)
        centred = (
            values - mean
        ).float()  # centred before multiplying: float32 then loses nothing that matters
        part = CentredProducts(
            products=(centred @ centred.T).double(),
            cross=centred.double() @ mean,
            origin=mean @ mean,
            sums=values.sum(dim=1, dtype=torch.float64),
        )
        total = part if total is None else _sum(total, part)
    if total is None:
        raise ValueError("an empty vocabulary")
    return total


def _sum(a: CentredProducts, b: CentredProducts) -> CentredProducts:
    a.products.add_(b.products)
    return CentredProducts(a.products, a.cross + b.cross, a.origin + b.origin, a.sums + b.sums)


def affine_geometry(head: Head) -> dict[str, NDArray[np.generic]]:
    """Factor F (d+1, d+1) float32 with F F^T the products of the centred columns of [W b]; the columns' sums.

    Eigen-decomposition, since these products are too ill-conditioned for Cholesky. Costs V d^2 + d^3 in
    float64.
    """
    width = head.weight.shape[1] + 1
    products = torch.zeros(width, width, dtype=torch.float64, device=head.device)
    sums = torch.zeros(width, dtype=torch.float64, device=head.device)
    for stretch in head.stretches():
        weight, bias = head.affine(*stretch)
        block = torch.cat([weight, bias[:, None]], dim=1).double()
        products += block.T @ block
        sums += block.sum(dim=0)
    products -= torch.outer(sums, sums) / head.vocabulary
    values, vectors = torch.linalg.eigh(products)
    factor = vectors * values.clamp_min(0).sqrt()
    return {"factor": factor.float().cpu().numpy(), "column_sum": sums.cpu().numpy()}


def capped_geometry(head: Head, states: Tensor) -> dict[str, NDArray[np.generic]]:
    """Products of the vocabulary-centred logits of states (M, d), for a head that is not affine.

    Costs M^2 V.
    """
    found = centred_products(lambda a, b: head.columns(states, a, b), head.stretches(), len(states))
    means = found.sums / head.vocabulary
    middle = means.mean()
    about = means - middle
    return {
        "products": (found.products - head.vocabulary * torch.outer(about, about)).float().cpu().numpy(),
        "cross": (found.cross - head.vocabulary * middle * about).cpu().numpy(),
        "origin": (found.origin - head.vocabulary * middle**2).cpu().numpy(),
        "means": means.cpu().numpy(),
    }


def hellinger_products(head: Head, states: Tensor, logsumexp: Tensor) -> NDArray[np.float32]:
    """(M, M) products of sqrt(p) about its mean, p the distributions of states (M, d).

    Costs M^2 V.
    """

    def roots(start: int, stop: int) -> Tensor:
        return ((head.columns(states, start, stop) - logsumexp[:, None]) / 2).exp()

    return centred_products(roots, head.stretches(), len(states)).products.float().cpu().numpy()


@dataclass(frozen=True, eq=False)
class TokenStatistics:
    """How the distributions of the first response token depend on the mode."""

    pairs: pd.DataFrame
    """Distances between two modes' distributions, as `Run.pairs` has them."""
    information: pd.DataFrame
    """Information about the mode, as `Run.information` has it."""
    marginals: NDArray[np.float32]
    """(k, V) mean distribution of each mode over prompts."""


def token_statistics(
    head: Head,
    states: Tensor,
    places: NDArray[np.int64],
    check: Callable[[Tensor, Tensor], None],
    prompt_ids: Sequence[str],
    modes: Sequence[str],
) -> TokenStatistics:
    """What the modes' next-token distributions are to each other, prompt by prompt, and on average.

    `states` (rows, d); `places` (n_prompts, k), the row of each prompt under each mode; `check` is shown rows
    and their logits as they come. Float32 arithmetic, float64 sums. Jensen-Shannon: Lin 1991,
    doi:10.1109/18.61115.
    """
    k = len(modes)
    pairs = list(itertools.combinations(range(k), 2))
    parts, information = [], []
    sums = torch.zeros(k, head.vocabulary, dtype=torch.float64, device=head.device)
    for some in np.array_split(places, max(1, places.size * head.vocabulary // CELLS)):
        rows = torch.from_numpy(some.ravel()).to(head.device)
        logits = head.logits(states[rows])
        check(rows, logits)
        logp = logits.log_softmax(dim=1).view(-1, k, head.vocabulary)
        parts.append(torch.stack([_distances(logp[:, a], logp[:, b]) for a, b in pairs], dim=1).cpu())
        information.append(_information(logp).cpu())
        sums += logp.exp().sum(dim=0, dtype=torch.float64)
    values = torch.cat(parts).view(-1, 3).numpy()
    table = pd.DataFrame(
        {
            "prompt_id": np.repeat(np.asarray(prompt_ids, dtype=object), len(pairs)),
            "mode_a": [modes[a] for a, _ in pairs] * len(prompt_ids),
            "mode_b": [modes[b] for _, b in pairs] * len(prompt_ids),
            "js_bits": values[:, 0],
            "tv": values[:, 1],
            "hellinger2": values[:, 2],
        }
    )
    return TokenStatistics(
        pairs=table,
        information=pd.DataFrame({"prompt_id": list(prompt_ids), "bits": torch.cat(information).numpy()}),
        marginals=(sums / len(places)).float().cpu().numpy(),
    )


def _information(logp: Tensor) -> Tensor:
    """(B,) float64 mutual information in bits of log-probabilities (B, k, V): mode, drawn evenly, and token.

    H(mean p) - mean H(p), as the mean divergence of the modes' distributions from their mean.
    """
    k = logp.shape[1]
    log_ratio = logp - (logp.logsumexp(dim=1, keepdim=True) - np.log(k))
    bits = (logp.exp() * log_ratio).sum(dim=(1, 2), dtype=torch.float64) / (k * np.log(2))
    held: Tensor = bits.clamp(0, np.log2(k))
    return held


def _distances(logp: Tensor, logq: Tensor) -> Tensor:
    """(B, 3) float64 of log-probabilities (B, V): Jensen-Shannon bits, total variation, Hellinger squared."""
    p, q = logp.exp(), logq.exp()
    logm = torch.logaddexp(logp, logq) - np.log(2)
    # 0 log 0 = 0: where p underflows its logarithm is finite, so the product is 0 as it should be.
    js = (p * (logp - logm) + q * (logq - logm)).sum(dim=1, dtype=torch.float64) / (2 * np.log(2))
    tv = (p - q).abs().sum(dim=1, dtype=torch.float64) / 2
    hellinger2 = (p.sqrt() - q.sqrt()).square().sum(dim=1, dtype=torch.float64) / 2
    return torch.stack([js, tv, hellinger2], dim=1).clamp(0, 1)
