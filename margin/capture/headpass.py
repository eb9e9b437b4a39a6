"""The head pass: after the loop, what needs whole distributions, from the stored states. Writes it into the
run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from safetensors.numpy import save
from torch import Tensor

from margin.capture.distributions import (
    TokenStatistics,
    affine_geometry,
    capped_geometry,
    hellinger_products,
    token_statistics,
)
from margin.capture.head import Head
from margin.errors import MarginError
from margin.run.files import parquet_bytes, write_atomic
from margin.run.head import NAME as HEAD
from margin.run.run import Run
from margin.run.run_tables import DECOY_INFORMATION, DECOY_PAIRS, INFORMATION, PAIRS

LARGEST_GRAM = 3_000
"""Rows beyond which products of all pairs are taken of a random subset of prompts: their cost would grow with
the square of the rows, and so would the memory and the file."""

Geometry = dict[str, NDArray[np.generic]]


def head_pass(run: Run, head: Head, prompt_of_row: Sequence[int], limit: float) -> list[str]:
    """Write what needs whole distributions into a run whose shards are whole; returns the files' names.

    Of decoys, which are asked like modes, the same is kept set by set.

    MarginError where the head's logits differ from those of the forward pass by more than `limit`, relative
    to the row's largest.
    """
    states = torch.from_numpy(run.states()).to(head.device)
    logsumexp = torch.from_numpy(run.logsumexp()).to(head.device)
    topk_ids, topk_logits = (torch.from_numpy(part).to(head.device) for part in run.topk())
    check = agreement(logsumexp, topk_ids, topk_logits, limit)
    prompts, seed = np.asarray(prompt_of_row), run.manifest.identity.seed
    modes = np.flatnonzero(run.rows["kind"] == "mode").reshape(-1, len(run.modes))
    sets = decoy_places(run.rows, prompts, len(run.modes))

    def statistics(places: NDArray[np.int64]) -> TokenStatistics:
        ids = run.prompts["id"].to_numpy()[prompts[places[:, 0]]].tolist()
        return token_statistics(head, states, places, check, ids, run.modes)

    def products(rows: NDArray[np.int64]) -> NDArray[np.float32]:
        some = torch.from_numpy(rows).to(head.device)
        return hellinger_products(head, states[some], logsumexp[some])

    of_modes = statistics(modes)
    tables = {PAIRS: of_modes.pairs, INFORMATION: of_modes.information}
    # Only modes and decoys have a margin: products with other controls' rows would cost most and serve
    # nothing, and so would those of one set of decoys with another.
    reference = modes.ravel()
    chosen = reference[gram_rows(prompts[reference], seed, first=prompts[sets.ravel()])]
    asked = sets[:, np.isin(prompts[sets[0, :, 0]], prompts[chosen])] if len(sets) else sets
    geometry: Geometry
    if head.softcap is None:
        geometry = affine_geometry(head)
    else:
        fitting = LARGEST_GRAM // max(1, asked[0].size) if len(asked) else 0
        rows = np.sort(np.concatenate([chosen, asked[:fitting].ravel()]))
        geometry = capped_geometry(head, states[torch.from_numpy(rows).to(head.device)])
        geometry["rows"] = rows
    geometry["hellinger.rows"] = chosen
    geometry["hellinger.products"] = products(chosen)
    geometry["marginals"] = of_modes.marginals
    if len(asked):
        of_sets = [statistics(places) for places in sets]
        tables[DECOY_PAIRS] = by_set([each.pairs for each in of_sets])
        tables[DECOY_INFORMATION] = by_set([each.information for each in of_sets])
        some = gram_rows(np.repeat(np.arange(asked.shape[1]), len(run.modes)), seed, blocks=len(asked))
        of_set = asked.reshape(len(asked), -1)[:, some]
        geometry["hellinger.decoys.rows"] = of_set
        geometry["hellinger.decoys.products"] = np.stack([products(rows) for rows in of_set])
    # safetensors writes the buffer as it lies in memory, and eigenvectors lie column by column.
    in_rows = {name: np.ascontiguousarray(array) for name, array in geometry.items()}
    write_atomic(run.path / HEAD, save(in_rows))
    for name, table in tables.items():
        write_atomic(run.path / name, parquet_bytes(table))
    return [HEAD, *tables]


def decoy_places(rows: pd.DataFrame, prompt_of_row: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """(M, n, k) rows of each of M sets of decoys on the n prompts they were asked of; M = 0 without."""
    decoys = rows.index[rows["kind"] == "decoy"].to_numpy()
    draws = rows["draw"].to_numpy()[decoys]
    in_order = decoys[np.lexsort((draws, prompt_of_row[decoys]))]
    sets = (int(draws.max(initial=-1)) + 1) // k
    found: NDArray[np.int64] = in_order.reshape(-1 if sets else 0, sets, k).swapaxes(0, 1)
    return found


def by_set(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Tables of sets of decoys as one, with the number of each line's set."""
    return pd.concat([table.assign(set=number) for number, table in enumerate(tables)], ignore_index=True)


def gram_rows(
    prompt_of_row: NDArray[np.int64],
    seed: int,
    first: NDArray[np.int64] | None = None,
    blocks: int = 1,
) -> NDArray[np.int64]:
    """Rows, ascending, whose products are stored: all, or all rows of as many random prompts as fit; those
    `first` (themselves spread over all) before others. So many `blocks` are as large together as one.
    """
    most = int(LARGEST_GRAM / np.sqrt(blocks))
    if len(prompt_of_row) <= most:
        return np.arange(len(prompt_of_row))
    shuffled = np.random.default_rng(seed).permutation(int(prompt_of_row.max()) + 1)
    if first is not None:
        shuffled = shuffled[np.argsort(~np.isin(shuffled, first), kind="stable")]
    sizes = np.bincount(prompt_of_row)[shuffled].cumsum()
    chosen = shuffled[: np.searchsorted(sizes, most, side="right")]
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
