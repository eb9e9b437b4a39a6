"""The spaces of a run by name."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from margin.analysis.separation import TokenTables
from margin.analysis.space import Coordinates, Gram, Space
from margin.errors import MarginError
from margin.run.geometry import LogitSpace
from margin.run.run import Run
from margin.stats.design import Design, make_design

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
    space, rows = _all_rows(run, name)
    of_modes = (run.rows["kind"].to_numpy() == "mode")[rows]
    return (space, rows) if of_modes.all() else (space.subset(of_modes), rows[of_modes])


def design_of(run: Run, rows: NDArray[np.int64]) -> Design:
    """The design of the given rows of a run."""
    lines = run.rows.iloc[rows]
    return make_design(lines["condition"].to_numpy(), lines["prompt_id"].to_numpy())


def tokens_of(run: Run) -> TokenTables:
    """What a run keeps of whole next-token distributions."""
    return TokenTables(run.pairs, run.information, run.marginals(), tuple(run.modes))


def _all_rows(run: Run, name: str) -> tuple[Space, NDArray[np.int64]]:
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
