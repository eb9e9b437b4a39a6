"""What patches between live modes do beyond those between meaningless tokens."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from margin.analysis.decoys import above_decoys
from margin.analysis.trace import Float, Handover, handover
from margin.stats.clusters import Clusters
from margin.stats.estimate import Estimate
from margin.stats.intervals import jackknife_variance
from margin.stats.multiplicity import pointwise_level
from margin.stats.seeds import generator
from margin.study.trace_file import AboveRecord
from margin.study.traced_rows import Measured

ERRORS = 2.8
"""Standard errors at which a difference is shown at level .95 with power .8 (1.96 + .84)."""


def above_meaningless(
    found: Measured, seed: int, level: float, over: Clusters | None
) -> tuple[list[AboveRecord], Handover | None]:
    """What the live tokens' patches have above those of decoy sets, with bands over layers."""
    if not found.decoys:
        return [], None
    live = found.patched.part(found.decoy_prompts)
    some = None if over is None else over.part(np.asarray(found.decoy_prompts, dtype=np.intp))
    unit = float(live.distance.mean()) or 1.0
    lines: list[AboveRecord] = []
    beyond = None
    for measure in ("share", "effect"):
        of_live, *of_sets = (
            its.landed.mean(axis=1) if measure == "share" else its.effect.mean(axis=1) / unit
            for its in (live, *found.decoys)
        )
        difference = of_live - np.mean(of_sets, axis=0)
        each = pointwise_level(
            (difference - difference.mean(axis=0)) / len(difference),
            generator(seed, "trace", "above", measure),
            level=level,
            over=some,
        )
        band = []
        for at, layer in enumerate(found.layers):
            one = above_decoys(
                _with_influence(of_live[:, at]), [_with_influence(its[:, at]) for its in of_sets], each, some
            )
            above = one.above
            band.append(above)
            lines.append(
                AboveRecord.from_estimate(
                    above,
                    layer=layer,
                    measure=measure,
                    live=one.live,
                    decoys=list(one.decoys),
                    rank_p=one.rank_p,
                    n_needed=_needed(above, difference[:, at], some),
                )
            )
        if measure == "effect" and all(its.low is not None for its in band):
            beyond = replace(handover(found.layers, band, 0.0), level=level, n_prompts=None)
    return [
        line.model_copy(update={"level": None if line.level is None else level}) for line in lines
    ], beyond


def _needed(above: Estimate, by_prompt: Float, over: Clusters | None) -> int | None:
    """Prompts with which an open difference would be shown; None where it is not, or more sets are needed.

    The variance between sets stays what it is; that between prompts, or clusters, falls with their number.
    """
    if above.low is None or above.se is None or above.low > 0 or above.estimate <= 0:
        return None
    influence = (by_prompt - by_prompt.mean()) / len(by_prompt)
    of_prompts = float(jackknife_variance(influence if over is None else over.sums(influence)))
    room = (above.estimate / ERRORS) ** 2 - (above.se**2 - of_prompts)
    return int(np.ceil(of_prompts * len(by_prompt) / room)) if room > 0 else None


def _with_influence(values: Float) -> Estimate:
    value = float(values.mean())
    return Estimate(value, n_prompts=len(values), influence=(values - value) / len(values))
