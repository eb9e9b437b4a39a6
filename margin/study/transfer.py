"""Does what a probe reads in one domain carry over to another?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from margin.errors import MarginError
from margin.inputs.attacks import CLEAN
from margin.inputs.conditions import CONDITIONS
from margin.inputs.conversation import member, without_mode
from margin.probes import domain_folds, make_rows, transfer
from margin.run.run import Run
from margin.short import Short

MOST_DOMAINS = 12
"""Values of a column that make a transfer table; more are no domains and make a table that nobody reads."""


@dataclass(frozen=True, eq=False)
class Transfer(Short):
    """Accuracy of probes fitted in one domain and tried in each."""

    column: str
    """Column of the prompts whose values are the domains, or the kind of a crossed condition, as "attack"."""
    layer: int
    table: pd.DataFrame
    """One line a source and target: source, target and the fields of an estimate."""


def transfers(
    run: Run,
    layer: int,
    columns: Sequence[str],
    level: float,
    seed: int,
    folds: int,
    clusters: pd.Series | None,
) -> list[Transfer]:
    X = states_of(run, layer)
    table, about = run.rows, run.prompts.set_index("id")
    of_modes = table["kind"] == "mode"
    asked = [(column, table["prompt_id"].map(about[column]).where(of_modes)) for column in columns]
    for kind in (condition.name for condition in CONDITIONS.values() if condition.crossed):
        of_kind = table["kind"] == kind
        if not of_kind.any():
            continue
        names = [
            without_mode(condition, mode).removeprefix(member(kind, "")) if its else CLEAN
            for condition, mode, its in zip(table["condition"], table["mode"], of_kind, strict=True)
        ]
        name = kind if kind not in columns else f"{kind} (conditions)"  # a column may be called so
        asked.append((name, pd.Series(names, table.index).where(of_modes | of_kind)))
    found = []
    for column, values in asked:
        use = values.notna().to_numpy()
        ids = table["prompt_id"][use]
        rows = make_rows(table["mode"][use], ids, of_rows(clusters, ids))
        domains = values[use].astype(str).to_numpy()
        try:
            fold = domain_folds(rows, domains, folds, seed)
        except ValueError as error:
            raise MarginError(f"no transfer over {column!r}: {error}") from None
        found.append(Transfer(column, layer, transfer(X[use], rows, domains, fold, level)))
    return found


def of_rows(clusters: pd.Series | None, prompt_ids: pd.Series) -> pd.Series | None:
    """The cluster of the prompt of each row."""
    return None if clusters is None else prompt_ids.map(clusters)


def check_column(run: Run, column: str) -> None:
    known = [name for name in run.prompts if name not in ("id", "prompt")]
    if column not in known:
        raise MarginError(
            f"no column {column!r} to transfer over: the prompts have {', '.join(known) or 'none'}"
        )
    values = run.prompts[column].nunique()
    if not 2 <= values <= MOST_DOMAINS:
        raise MarginError(
            f"column {column!r} has {values} values: a transfer table takes 2 to {MOST_DOMAINS}"
        )


def states_of(run: Run, layer: int) -> Any:
    X = run.layer(layer)
    if not np.isfinite(X).all():
        raise MarginError(f"layer {layer} of {run.path} holds NaN or infinite states: leave it out, --layers")
    return X
