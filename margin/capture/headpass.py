"""The head pass: after the loop, what needs whole distributions, from the stored states. Writes it into the
run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save
from torch import Tensor

from margin.capture.distributions import (
    affine_geometry,
    capped_geometry,
    hellinger_products,
    token_statistics,
)
from margin.capture.head import Head
from margin.errors import MarginError
from margin.run.files import parquet_bytes, write_atomic
from margin.run.run import Run

LARGEST_GRAM = 3_000
"""Rows beyond which products of all pairs are taken of a random subset of prompts: their cost would grow with
the square of the rows, and so would the memory and the file."""


def head_pass(run: Run, head: Head, prompt_of_row: Sequence[int], limit: float) -> None:
    """Write head.safetensors, pairs.parquet and information.parquet of a run whose shards are whole.

    MarginError where the head's logits differ from those of the forward pass by more than `limit`, relative
    to the row's largest.
    """
    states = torch.from_numpy(run.states()).to(head.device)
    logsumexp = torch.from_numpy(run.logsumexp()).to(head.device)
    topk_ids, topk_logits = (torch.from_numpy(part).to(head.device) for part in run.topk())
    check = agreement(logsumexp, topk_ids, topk_logits, limit)
    reference = np.flatnonzero(run.rows["kind"] == "mode")
    tokens = token_statistics(
        head,
        states,
        reference.reshape(-1, len(run.modes)),
        check,
        run.prompts["id"].tolist(),
        run.modes,
    )
    # Only modes have a margin: products with the controls' rows would cost most and serve nothing.
    prompts, seed = np.asarray(prompt_of_row), run.manifest.identity.seed
    chosen = reference[gram_rows(prompts[reference], seed)]
    some = torch.from_numpy(chosen).to(head.device)
    if head.softcap is None:
        geometry = affine_geometry(head)
    else:  # decoys are asked like modes, and have a margin beside theirs
        decoys = np.flatnonzero(run.rows["kind"] == "decoy")
        held = reference[gram_rows(prompts[reference], seed, first=prompts[decoys])]
        beside = decoys[np.isin(prompts[decoys], prompts[held])]
        sets = run.rows["draw"].to_numpy()[beside] // len(run.modes)
        fitting = LARGEST_GRAM // max(1, int(np.sum(sets == 0)))
        rows = np.sort(np.concatenate([held, beside[sets < fitting]]))
        geometry = capped_geometry(head, states[torch.from_numpy(rows).to(head.device)])
        geometry["rows"] = rows
    geometry["hellinger.rows"] = chosen
    geometry["hellinger.products"] = hellinger_products(head, states[some], logsumexp[some])
    geometry["marginals"] = tokens.marginals
    # safetensors writes the buffer as it lies in memory, and eigenvectors lie column by column.
    in_rows = {name: np.ascontiguousarray(array) for name, array in geometry.items()}
    write_atomic(run.path / "head.safetensors", save(in_rows))
    write_atomic(run.path / "pairs.parquet", parquet_bytes(tokens.pairs))
    write_atomic(run.path / "information.parquet", parquet_bytes(tokens.information))


def gram_rows(
    prompt_of_row: NDArray[np.int64], seed: int, first: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Rows, ascending, whose products are stored: all, or all rows of as many random prompts as fit; those
    `first` (themselves drawn at random) before others.
    """
    if len(prompt_of_row) <= LARGEST_GRAM:
        return np.arange(len(prompt_of_row))
    shuffled = np.random.default_rng(seed).permutation(int(prompt_of_row.max()) + 1)
    if first is not None:
        shuffled = shuffled[np.argsort(~np.isin(shuffled, first), kind="stable")]
    sizes = np.bincount(prompt_of_row)[shuffled].cumsum()
    chosen = shuffled[: np.searchsorted(sizes, LARGEST_GRAM, side="right")]
    return np.flatnonzero(np.isin(prompt_of_row, chosen))


def agreement(
    logsumexp: Tensor, topk_ids: Tensor, topk_logits: Tensor, limit: float
) -> Callable[[Tensor, Tensor], None]:
    """A check that logits of some rows, made by the head, are those of the forward pass."""

    def check(rows: Tensor, logits: Tensor) -> None:
        bound = limit * logits.abs().amax(dim=1)
        top = (logits.gather(1, topk_ids[rows].long()) - topk_logits[rows]).abs().amax(dim=1)
        total = (logits.logsumexp(dim=1) - logsumexp[rows]).abs()
        if not bool(((top <= bound) & (total <= bound)).all()):
            raise MarginError(
                "the head does not reproduce the logits of the forward pass: this model is not supported"
            )

    return check
