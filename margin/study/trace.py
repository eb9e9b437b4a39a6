"""From where patched, cut and steered rows lie to numbers over prompts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version

import numpy as np
import pandas as pd

from margin.analysis.trace import HALF, KEPT, Float, Handover, handover, mean, means, shares
from margin.run.run import Run
from margin.stats.clusters import Clusters
from margin.stats.estimate import Estimate
from margin.stats.intervals import mean_share
from margin.stats.seeds import generator
from margin.study.record import EstimateRecord
from margin.study.trace_decoys import above_meaningless
from margin.study.trace_file import (
    ALL,
    FORMAT,
    AnswersRecord,
    ControlRecord,
    CutRecord,
    HandoverRecord,
    PatchRecord,
    SteerRecord,
    TraceRecord,
    TraceSettings,
    WayRecord,
)
from margin.study.traced_rows import Measured, Pair, Steered


@dataclass(frozen=True)
class Trace:
    """What decides the mode, and how it was found."""

    record: TraceRecord

    def to_frame(self) -> pd.DataFrame:
        """One line a layer, pair and quantity ("share", "transfer", "kept", "margin") with its estimate."""
        lines = [
            {"layer": its.layer, "recipient": its.recipient, "donor": its.donor, "quantity": name}
            | getattr(its, name).model_dump()
            for its in self.record.patch
            for name in ("share", "transfer")
        ] + [
            {"layer": its.layer, "recipient": ALL, "donor": ALL, "quantity": name}
            | getattr(its, name).model_dump()
            for its in self.record.cut
            for name in ("kept", "margin")
        ]
        return pd.DataFrame(lines)


def traced(
    run: Run,
    found: Measured,
    way: WayRecord,
    *,
    depth: int,
    seed: int,
    level: float,
    cluster: str | None,
    over: Clusters | None,
    seconds: float,
) -> TraceRecord:
    """Numbers over prompts, with their intervals, of what was measured."""
    patch, crossing = _patches(run.modes, found, seed, level, over)
    cut, cut_crossing = _cuts(found, seed, level, over)
    above, beyond = above_meaningless(found, seed, level, over)
    return TraceRecord(
        format=FORMAT,
        version=version("safety-margin"),
        run=run.manifest.digest,
        settings=TraceSettings(
            level=level,
            seed=seed,
            cluster=cluster,
            space=found.space,
            folds=int(found.marks.fold.max()) + 1,
        ),
        way=way,
        modes=run.modes,
        depth=depth,
        layers=list(found.layers),
        n_prompts=len(found.marks.points),
        accuracy=_record(found.marks.accuracy(level, over)),
        unchanged=found.controlled.unchanged,
        seconds=seconds,
        patch=patch,
        handover=HandoverRecord(**asdict(crossing)),
        cut=cut,
        cut_handover=None if cut_crossing is None else HandoverRecord(**asdict(cut_crossing)),
        controls=list(_controls(found, level, over)),
        above_decoys=above,
        beyond_decoys=None if beyond is None else HandoverRecord(**asdict(beyond)),
        steer=[_steered(its, name, level, over) for name, its in _with_all(run.modes, found.steered)],
        answers=[
            AnswersRecord(
                layer=layer,
                pair=_named(run.modes, pair),
                dose=dose,
                refused=_record(mean_share(refused, level, over)),
            )
            for (layer, pair, dose), refused in found.answers.items()
        ],
    )


def _record(estimate: Estimate) -> EstimateRecord:
    return EstimateRecord.from_estimate(estimate)


def _named(modes: Sequence[str], pair: Pair) -> str:
    return f"{modes[pair[0]]} to {modes[pair[1]]}"


def _patches(
    modes: Sequence[str], found: Measured, seed: int, level: float, over: Clusters | None
) -> tuple[list[PatchRecord], Handover]:
    """Lines of all pairs together, with bands over layers, then of each; and where the state decides."""
    its = found.patched
    carried = _without_same(its.transfer)
    share = shares(its.landed.mean(axis=1), generator(seed, "trace", "share"), level, over)
    whole = means(carried.mean(axis=1), generator(seed, "trace", "transfer"), level, over)
    lines = [
        PatchRecord(layer=layer, donor=ALL, recipient=ALL, share=_record(one), transfer=_record(other))
        for layer, one, other in zip(its.layers, share, whole, strict=True)
    ]
    for place, (recipient, donor) in enumerate(its.pairs):
        lines += [
            PatchRecord(
                layer=layer,
                donor=modes[donor],
                recipient=modes[recipient],
                share=_record(mean_share(its.landed[:, place, at], level, over)),
                transfer=_record(mean(carried[:, place, at], level, over)),
            )
            for at, layer in enumerate(its.layers)
        ]
    return lines, handover(its.layers, share, HALF)


def _without_same(carried: Float) -> Float:
    """Transfers, of rows whose donor has the same logits the mean of the other prompts' in its place."""
    return np.where(np.isnan(carried), np.nan_to_num(np.nanmean(carried, axis=0)), carried)


def _cuts(
    found: Measured, seed: int, level: float, over: Clusters | None
) -> tuple[list[CutRecord], Handover | None]:
    if found.cutting is None:
        return [], None
    kept = shares(found.cutting.kept.mean(axis=1), generator(seed, "trace", "kept"), level, over)
    left = means(found.cutting.margin.mean(axis=1), generator(seed, "trace", "left"), level, over)
    lines = [
        CutRecord(layer=layer, kept=_record(one), margin=_record(other))
        for layer, one, other in zip(found.layers, kept, left, strict=True)
    ]
    return lines, handover(found.layers, kept, KEPT)


def _controls(found: Measured, level: float, over: Clusters | None) -> list[ControlRecord]:
    some = None if over is None else over.part(np.asarray(found.controlled.prompts, dtype=np.intp))
    return [
        ControlRecord(
            layer=layer,
            control=control,  # type: ignore[arg-type]
            moved=_record(mean_share(moved[:, :, at].mean(axis=1), level, some)),
        )
        for control, moved in found.controlled.moved.items()
        for at, layer in enumerate(found.layers)
    ]


def _with_all(modes: Sequence[str], found: Sequence[Steered]) -> Iterator[tuple[str, Steered]]:
    """What was steered under the name of its pair: first the mean over pairs of each way, then all."""
    ways: dict[tuple[int, str, float], list[Steered]] = {}
    for its in found:
        ways.setdefault((its.layer, its.control, its.dose), []).append(its)
    for (layer, control, dose), of_way in ways.items():
        landed, kept, nearer = (
            np.mean([getattr(its, name) for its in of_way], axis=0) for name in ("landed", "kept", "margin")
        )
        with_tokens = [its.divergence for its in of_way if its.divergence is not None]
        told = np.mean(with_tokens, axis=0) if with_tokens else None
        yield ALL, Steered(layer, of_way[0].pair, dose, control, landed, kept, nearer, told)
    for its in found:
        yield _named(modes, its.pair), its


def _steered(its: Steered, name: str, level: float, over: Clusters | None) -> SteerRecord:
    """One line; of prompts that hold a NaN nothing is said."""
    there = np.flatnonzero(~np.isnan(its.landed))
    some = None if over is None else over.part(there)
    return SteerRecord(
        layer=its.layer,
        pair=name,
        dose=its.dose,
        control=its.control,  # type: ignore[arg-type]
        share=_record(mean_share(its.landed[there], level, some)),
        kept=_record(mean_share(its.kept[there], level, some)),
        margin=_record(mean(its.margin[there], level, some)),
        divergence=None if its.divergence is None else _record(mean(its.divergence[there], level, some)),
    )
