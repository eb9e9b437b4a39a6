"""The spaces of a run by name."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from margin.analysis.separation.tokens import TokenTables
from margin.analysis.space import Coordinates, Gram, Space
from margin.errors import MarginError
from margin.run.geometry import LogitSpace
from margin.run.run import Run
from margin.stats.clusters import make_clusters
from margin.stats.design import Design, make_design
from margin.text import shown

LOGIT_SPACES: dict[str, LogitSpace] = {
    "logits": "logits",
    "logits_centred": "centred",
    "logprobs": "logprobs",
}


def space_names(run: Run) -> list[str]:
    """Names `space_of` knows for this run."""
    return [*LOGIT_SPACES, "probabilities", "state", *(f"layer:{layer}" for layer in run.layers)]


def space_of(run: Run, name: str) -> tuple[Space, NDArray[np.int64]]:
    """One space of a run's mode rows, and the places of those rows in the run.

    Parameters
    ----------
    name : "logits", "logits_centred" (over the vocabulary), "logprobs", "probabilities" (of the next token,
        as square roots: for "hellinger2"), "state" (post-norm final state) or "layer:L" (before the last
        norm).

    Controls are left out: a margin is between modes. Spaces over whole distributions may hold fewer rows than
    the run where it is large (the manifest says so); the places say which.

    Raises
    ------
    MarginError : an unknown name, or a layer that was not captured.
    """
    space, rows = all_rows(run, name)
    of_modes = (run.rows["kind"].to_numpy() == "mode")[rows]
    return (space, rows) if of_modes.all() else (space.subset(of_modes), rows[of_modes])


def design_of(run: Run, rows: NDArray[np.int64], cluster: str | None = None) -> Design:
    """The design of the given rows of a run, clustered by a column of the prompts where one is named."""
    lines = run.rows.iloc[rows]
    found = make_design(lines["condition"].to_numpy(), lines["prompt_id"].to_numpy())
    return found.clustered(clusters_of(run, cluster))


def clusters_of(run: Run, column: str | None) -> pd.Series | None:
    """What a column of the prompts of a run says, by prompt id; None without a column.

    Errors as `clusters_in`.
    """
    return clusters_in(run.prompts, column)


def clusters_in(prompts: pd.DataFrame, column: str | None) -> pd.Series | None:
    """What a column of some prompts (columns id, prompt and others) says, by id; None without a column.

    Raises
    ------
    MarginError : no such column, or one that puts all prompts into one cluster.
    """
    if column is None:
        return None
    known = [name for name in prompts if name not in ("id", "prompt")]
    if column not in known:
        has = ", ".join(map(shown, known)) or "none"
        raise MarginError(f"no column {shown(column)!r} to cluster by: the prompts have {has}")
    labels = prompts.set_index("id")[column]
    if len(make_clusters(labels)) < 2:
        raise MarginError(f"column {shown(column)!r} puts all prompts into one cluster: two are needed")
    return labels


def tokens_of(run: Run, cluster: str | None = None) -> TokenTables:
    """What a run keeps of whole next-token distributions."""
    clusters = clusters_of(run, cluster)
    return TokenTables(run.pairs, run.information, run.marginals(), tuple(run.modes), clusters)


def all_rows(run: Run, name: str) -> tuple[Space, NDArray[np.int64]]:
    """One space of all rows of a run, controls too, and their places; parameters and errors as `space_of`."""
    if name in LOGIT_SPACES:
        geometry = run.logit_geometry()
        coordinates = geometry.coordinates(LOGIT_SPACES[name])
        if coordinates is None:
            return Gram(geometry.gram(LOGIT_SPACES[name]), name), geometry.rows
        return Coordinates(coordinates, name), geometry.rows
    if name == "probabilities":
        rows, products = run.hellinger_gram()
        return Gram(products, name), rows
    if name == "state":
        return Coordinates(run.states(), name), np.arange(len(run.rows))
    kind, _, layer = name.partition(":")
    if kind == "layer" and layer.isdecimal():
        return Coordinates(run.layer(int(layer)), name), np.arange(len(run.rows))
    raise MarginError(f"unknown space {name!r}: this run has {', '.join(space_names(run))}")
