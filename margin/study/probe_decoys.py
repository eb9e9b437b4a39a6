"""Is a mode read off a layer better than any token would be? Probes of the live tokens beside decoys'."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from margin.analysis.decoys import AboveDecoys, above_decoys
from margin.probes import cross_fit, grouped_folds, make_rows
from margin.probes.performance import accuracy, auc
from margin.probes.rows import FloatArray
from margin.run.run import Run
from margin.run.stored import Record
from margin.stats.design import Design
from margin.stats.estimate import Estimate
from margin.study.decoys import DecoyRows

Reading = Literal["accuracy", "auc"]


@dataclass(frozen=True, eq=False)
class ProbeAbove:
    """One number of a layer's probe of the live tokens beside that of each decoy set."""

    layer: int
    quantity: Reading
    found: AboveDecoys

    def to_dict(self) -> Record:
        """Plain record, as probe.json stores it."""
        found = self.found
        sets = {"live": found.live, "decoys": list(found.decoys), "sets": len(found.decoys)}
        about = {"layer": self.layer, "quantity": self.quantity, "rank_p": found.rank_p}
        return {**about, **found.above.to_dict(), **sets}


def probes_above_decoys(
    run: Run,
    layers: Sequence[int],
    decoys: DecoyRows,
    *,
    folds: int,
    seed: int = 0,
    level: float = 0.95,
    n_jobs: int = 1,
) -> Iterator[ProbeAbove]:
    """Accuracy and area under the curve of the same probe on the live tokens and on each decoy set.

    On the prompts that decoys were asked of, in the same folds. The difference is paired by prompt, with the
    variance between sets (`margin.analysis.decoys`); influences are widened for what folds share.

    Cost: one logistic regression a layer, fold and set, and one for the live tokens, on these prompts.
    """
    design = decoys.design
    ids = np.asarray(design.prompt_ids, dtype=object)[design.prompt]
    clusters = None if design.clusters is None else design.clusters.code[design.prompt]
    rows = make_rows(np.asarray(design.modes, dtype=object)[design.mode], ids, clusters)
    fold = grouped_folds(rows, folds, seed)
    for layer in layers:
        X = run.layer(layer)
        places = (decoys.live, *decoys.sets)
        work = (delayed(_read)(X[each], rows, fold) for each in places)
        live, *sets = Parallel(n_jobs=n_jobs, pre_dispatch="n_jobs", max_nbytes=None)(work)
        for quantity in live:
            of_sets = [each[quantity] for each in sets]
            found = above_decoys(live[quantity], of_sets, level, rows.clusters)
            yield ProbeAbove(layer, quantity, found)


def _read(X: FloatArray, rows: Design, fold: NDArray[np.intp]) -> dict[Reading, Estimate]:
    """How well probes tell the tokens of one set."""
    with threadpool_limits(limits=1):
        found = cross_fit(X, rows, fold)
        return {"accuracy": accuracy(found), "auc": auc(found)[0]}
