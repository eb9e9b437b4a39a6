"""What checkpoints' margins tell of what they do, as tables."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from margin.stats.estimate import Estimate
from margin.stats.roc import COVERAGES
from margin.study.notation import with_interval
from margin.study.relation import Candidate, Pair, Relation
from margin.study.table import Interval, Table, table

BRIEF = 20
"""Lines shown where there is no room for all; relate.json lists every one."""
CLOSE = 0.05
"""Adjusted p-value up to which a pair is said to go together."""
FEW_TRAININGS = 10
"""Trainings below which an interval is wide, whatever was trained."""


def tables(found: Relation) -> Iterator[Table]:
    """Which margin to gate on, the pairs, what rows' margins tell, and what was left out."""
    yield _candidates(found)
    yield _pairs(found)
    yield _areas(found)
    yield _within(found)
    lines = [{"number": name, "why": why} for name, why in found.left_out.items()]
    yield table("left-out", "Left out", "Numbers that were related to nothing.", pd.DataFrame(lines))


def sentences(found: Relation) -> Iterator[str]:
    """What a reader wants to know first, one sentence each."""
    runs, trainings = len(found.runs.names), len(found.runs.clusters)
    few = f", fewer than {FEW_TRAININGS}: intervals are wide" if trainings < FEW_TRAININGS else ""
    yield f"{runs} checkpoints of {trainings} trainings{few}."
    if found.candidates:
        best = found.candidates[0]
        level = with_interval(best.mean.estimate, best.mean.low, best.mean.high)
        how = "" if best.mean.low is not None else f" ({best.mean.method})"
        yield (
            f"The margin that tells most is {best.margin}: its rank correlation with behaviour is {level} in "
            f"the mean over {len(found.judged_by)}, least {best.least:+.3f} with {best.behaviour}{how}."
        )
    for pair in found.pairs[:1]:
        rank = pair.association.spearman
        told = with_interval(rank.estimate, rank.low, rank.high)
        yield f"The closest pair is {pair.margin} with {pair.behaviour}: {told}."
    close = [pair for pair in found.pairs if pair.p_holm <= CLOSE]
    yield (
        f"{len(close)} of {len(found.pairs)} pairs go together beyond chance (p ≤ {CLOSE:g}, Holm over all)."
    )
    wrong = [pair for pair in close if pair.oriented < 0]
    if wrong:
        named = ", ".join(f"{pair.margin} with {pair.behaviour}" for pair in wrong[:3])
        yield (
            f"{len(wrong)} of these the wrong way, modes farther apart with worse behaviour, such as {named}."
        )
    for name, one in found.areas.items():
        yield (
            f"Within a run, the {name.replace('_', '-')} margin of a row tells failed answers with an area "
            f"of {with_interval(one.estimate, one.low, one.high, signed=False)} among rows of one mode, in "
            f"the mean over {one.n_prompts} runs (chance is .5)."
        )


def _candidates(found: Relation) -> Table:
    lines = [
        {
            "margin": one.margin,
            "mean correlation": _cell(one.mean),
            "behind the first": _cell(one.behind) if one is not found.candidates[0] else None,
            f"with {found.judged_by[0]}": _first(found, one),
            "least": one.least,
            "with": one.behaviour,
        }
        for one in found.candidates
    ]
    note = (
        f"Mean of Spearman's correlation over {', '.join(found.judged_by) or 'nothing'}; positive where "
        "modes that stand farther apart go with better behaviour. The first is the best of many, and so "
        "looks better than it is: what lies behind it by an interval that holds 0 may be as good."
    )
    return table(
        "candidates", "Which margin to gate on", note, pd.DataFrame(lines), ["mean correlation"], BRIEF
    )


def _first(found: Relation, one: Candidate) -> Interval:
    """A margin's correlation with the first of the behaviours that margins are ranked by."""
    pair = next(p for p in found.pairs if (p.margin, p.behaviour) == (one.margin, found.judged_by[0]))
    return _cell(pair.association.spearman)


def _pairs(found: Relation) -> Table:
    note = (
        f"The closest first. Intervals of {found.level:.0%}, each by itself, over trainings; p is Holm's "
        "over all pairs. Without error: Spearman's of what is behind both numbers. Step held: of "
        "checkpoints of one step. A star marks behaviour told by the geometry, which is of the same states "
        "as the margin, and goes with it by itself."
    )
    lines = [_pair(pair) for pair in found.pairs]
    title = "Margins against behaviour"
    return table("pairs", title, note, pd.DataFrame(lines), ["Spearman"], BRIEF)


def _pair(pair: Pair) -> dict[str, object]:
    one = pair.association
    return {
        "margin": pair.margin,
        "behaviour": pair.behaviour + (" *" if pair.by == "geometry" else ""),
        "more is": "worse" if pair.worse else "better",
        "Spearman": _cell(one.spearman),
        "Kendall": _cell(one.kendall),
        "without error": _cell(one.corrected),
        "step held": None if one.partial is None else _cell(one.partial),
        "p": pair.p_holm,
        "runs": pair.runs,
    }


def _areas(found: Relation) -> Table:
    """What is left of the failures when only rows with large margins are kept, in the mean over runs."""
    lines = []
    for margin, one in found.areas.items():
        there = [each for each in found.within if each.margin == margin and np.isfinite(each.auc.estimate)]
        line: dict[str, object] = {
            "margin of rows": margin.replace("_", "-"),
            "runs": one.n_prompts,
            "AUC": _cell(one, signed=False),
        }
        known = [each.sensitivity.estimate for each in there if np.isfinite(each.sensitivity.estimate)]
        line["found at 1% of false alarms"] = float(np.mean(known)) if known else None
        line["in runs"] = len(known)
        for share in COVERAGES:
            line[f"risk at {share:.0%}"] = float(np.mean([each.risk[share].estimate for each in there]))
        lines.append(line)
    note = (
        "Means over the runs in which some answers failed, and not all: the area under the curve of failures "
        "against right answers of the same mode, chance being .5, with an interval over trainings; the share "
        "of failures with a lower margin than all but 1% of the right answers, where 100 are right; and the "
        "share of failures left when only so many rows of any mode, those with the largest margins, are kept."
    )
    return table("areas", "Does a row's margin tell a failed answer?", note, pd.DataFrame(lines))


def _within(found: Relation) -> Table:
    lines = [
        {
            "run": one.run,
            "margin of rows": one.margin.replace("_", "-"),
            "rows": one.rows,
            "failed": one.failed,
            "AUC": _cell(one.auc, signed=False),
            "AUC over modes": _cell(one.auc_of_all, signed=False),
            "found at 1% of false alarms": _cell(one.sensitivity, signed=False),
        }
        for one in found.within
        if one.failed
    ]
    note = (
        "Found: the share of the failed answers that have a lower margin than all but 1% of the right ones, "
        "with what these leave open of where that threshold lies; a dash where fewer than 100 are right, too "
        "few to tell."
    )
    title = "The same, run by run"
    return table("within", title, note, pd.DataFrame(lines), brief=BRIEF)


def _cell(one: Estimate, *, signed: bool = True) -> Interval:
    return Interval(one.estimate, one.low, one.high, signed)
