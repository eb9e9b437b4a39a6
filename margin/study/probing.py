"""Probes of a run: can the mode be read off a layer, from which layer on, and does the reading carry over?"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from margin.arguments import named, require_count, require_level, require_names
from margin.errors import MarginError
from margin.inputs.kinds import as_kind
from margin.probes import LayerProbes, grouped_folds, make_rows, probe_layers
from margin.probes.calibration import BINS
from margin.probes.logistic import C
from margin.run.run import Run, opened
from margin.run.stored import Record
from margin.short import Short
from margin.study.decoys import decoy_rows
from margin.study.probe_decoys import ProbeAbove, probes_above_decoys
from margin.study.spaces import clusters_of
from margin.study.transfer import Transfer, check_column, of_rows, states_of, transfers
from margin.text import brief

FOLDS = 5


@dataclass(frozen=True, eq=False)
class Probing(Short):
    """What probes find in a run."""

    probes: LayerProbes
    transfers: tuple[Transfer, ...]
    modes: tuple[str, ...]
    n_prompts: int
    folds: int
    level: float
    seed: int
    cluster: str | None = None
    """Column of the prompts that names what hangs together."""
    above_decoys: tuple[ProbeAbove, ...] = ()
    """Accuracy and area above decoys, layer by layer; empty where the run has no decoys."""

    def to_frame(self) -> pd.DataFrame:
        """One line a layer and number: layer, quantity, of (mode, or direction and pair) and its fields."""
        return self.probes.to_frame()

    def transfer_frame(self) -> pd.DataFrame:
        """One line a column, source and target: those, the layer and the fields of an estimate."""
        tables = [t.table.assign(column=t.column, layer=t.layer) for t in self.transfers]
        first = ["column", "layer", "source", "target"]
        if not tables:
            return pd.DataFrame(columns=first)
        found = pd.concat(tables, ignore_index=True)
        return found[[*first, *found.columns.difference(first, sort=False)]]

    def to_dict(self) -> Record:
        """Plain record, as probe.json stores it; what is no number is None."""
        deciding = self.probes.deciding
        cosines = [layer.cosines.assign(layer=layer.layer) for layer in self.probes.layers]
        return {
            "settings": {
                "probe": "standardised multinomial logistic regression, L2",
                "inverse_penalty": C,
                "folds": self.folds,
                "calibration_bins": BINS,
                "level": self.level,
                "seed": self.seed,
                **({} if self.cluster is None else {"cluster": self.cluster}),
            },
            "modes": list(self.modes),
            "n_prompts": self.n_prompts,
            "chance": deciding.chance,
            "deciding": {
                "layer": deciding.layer,
                "earliest": deciding.earliest,
                "best": deciding.best,
                "share": deciding.share,
                "level": deciding.level,
                "rule": deciding.rule,
            },
            "scores": _records(self.to_frame()),
            "curve": _records(self.probes.curve()),
            "cosines": _records(pd.concat(cosines)[["layer", "first", "second", "cosine"]]),
            "transfer": _records(self.transfer_frame()),
            "above_decoys": [one.to_dict() for one in self.above_decoys],
        }


@named
def probe(
    run: Run | str | Path,
    layers: Sequence[int] | None = None,
    columns: Sequence[str] = (),
    *,
    level: float = 0.95,
    seed: int = 0,
    folds: int = FOLDS,
    n_jobs: int = 1,
    cluster: str | None = None,
    before: Callable[[int], None] = lambda layer: None,
) -> Probing:
    """Probe the modes in the captured layers of a run.

    Where the run holds decoys, each layer's accuracy and area stand beside those of the same probe on each
    set. Transfer is measured at the last of the layers, which is chosen before any result is seen: between
    the values of each of `columns`, and between plain and attacked prompts where the run holds attacks.

    Parameters
    ----------
    run : an opened run, or the path of its folder.
    layers : those to probe; all that were captured unless given.
    columns : columns of the prompts between whose values to measure transfer.
    level : nominal coverage of the intervals.
    seed : of folds, control tasks and resampling.
    folds : of prompts, at most; fewer where they would hold a single prompt.
    n_jobs : processes that share the layers; no more than there are layers are started.
    cluster : column of the prompts that names what hangs together: folds keep clusters, intervals are over
        clusters.
    before : called with each layer when its turn comes.

    Raises
    ------
    MarginError : no layer captured, a layer that was not, fewer than two prompts, an unknown column, or one
        with fewer than two or more than `MOST_DOMAINS` values.

    Cost: two logistic regressions a layer and fold; 1.5 s a layer for 1,000 prompts x 3 modes of width 576.
    With decoys one more a set, and one, on the prompts that these were asked of.

    Example
    -------
    >>> import margin
    >>> from margin.demo import checkpoint_path, modes_path, prompts_path
    >>> deep = margin.collect(
    ...     checkpoint_path("cotrained"),
    ...     prompts=prompts_path(),
    ...     modes=modes_path(),
    ...     out="demo-layers",
    ...     layers=[4],
    ...     limit=40,
    ...     decoys=0,
    ...     quiet=True,
    ... )
    >>> found = margin.probe(deep).to_frame()
    >>> found.loc[found["quantity"] == "accuracy", ["layer", "estimate", "low"]].round(2)
       layer  estimate   low
    0      4       1.0  0.91
    """
    require_level(level)
    require_count(seed, "seed")
    require_count(folds, "folds", 2)
    require_count(n_jobs, "n_jobs", 1)
    require_names(columns, "columns")
    asked = None if layers is None else _numbers(layers)
    run = opened(run)
    chosen = sorted(set(run.layers if asked is None else asked))
    if not chosen:
        raise MarginError(f"{run.path} holds no layer to probe: collect it with --layers all")
    for layer in chosen:
        if layer not in run.layers:
            raise MarginError(f"{run.path} holds no layer {layer}: it has {run.layers}")
    for column in columns:
        check_column(run, column)
    of_modes = (run.rows["kind"] == "mode").to_numpy()
    modes = run.rows[of_modes]
    if modes["prompt_id"].nunique() < 2:
        raise MarginError(f"{run.path} holds a single prompt: a probe needs at least two")
    clusters = clusters_of(run, cluster)
    rows = make_rows(modes["mode"], modes["prompt_id"], of_rows(clusters, modes["prompt_id"]))
    fold = grouped_folds(rows, folds, seed)

    def states() -> Any:
        for layer in chosen:
            before(layer)
            yield layer, states_of(run, layer)[of_modes]

    n_jobs = min(n_jobs, len(chosen))
    found = probe_layers(states(), rows, fold, seed=seed, level=level, n_jobs=n_jobs)
    sets = decoy_rows(run, cluster)
    above: tuple[ProbeAbove, ...] = ()
    if sets is not None and sets.design.n_units > 1:
        of_layers = probes_above_decoys(run, chosen, sets, folds=folds, seed=seed, level=level, n_jobs=n_jobs)
        above = tuple(of_layers)
    return Probing(
        probes=found,
        transfers=tuple(transfers(run, chosen[-1], columns, level, seed, folds, clusters)),
        modes=rows.modes,
        n_prompts=rows.n_prompts,
        folds=int(fold.max()) + 1,
        level=level,
        seed=seed,
        cluster=cluster,
        above_decoys=above,
    )


def _numbers(layers: object) -> Sequence[int]:
    """Layers as whole numbers; MarginError where they are none."""
    found = next(as_kind(layers, Sequence[int]), None)
    if found is None:
        raise MarginError(f"layers {brief(layers, 40)!r}: take a list of whole numbers")
    return tuple(found)


def _records(frame: pd.DataFrame) -> list[Record]:
    """Lines of a table as plain records, missing and undefined numbers as None."""
    records: list[Record] = json.loads(frame.to_json(orient="records", double_precision=15))
    return records
