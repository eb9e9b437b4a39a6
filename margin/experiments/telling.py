"""What a checkpoint says of its own tokens: how likely it finds them, and whether it repeats them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from margin.analysis.exposure import exposure
from margin.experiments.subject import Subject
from margin.inputs.attacks import Attack
from margin.inputs.controls import Controls
from margin.inputs.conversation import without_mode
from margin.inputs.echoes import redact_echoes
from margin.inputs.neighbours import shaped_like
from margin.inputs.prompts import PromptSet
from margin.inputs.rows import Row, build_control_rows, build_rows
from margin.stats.intervals import upper_bound
from margin.stats.seeds import generator
from margin.study.record import EstimateRecord
from margin.study.secrecy_file import ExposureRecord, SaidRecord, Whose


def exposures(subjects: Mapping[Whose, Subject]) -> Iterator[ExposureRecord]:
    """Rank of each live token in its place among random strings of its shape, in each of some checkpoints."""
    from margin.capture.exposure import log_probabilities

    live = subjects["checkpoint"]
    options = live.options
    for mode in live.modes.modes:
        rng = generator(options.seed, "secrecy", "exposure", mode.name)
        others = shaped_like(live.modes, mode.name, options.candidates, rng)
        for of, subject in subjects.items():
            scores = log_probabilities(subject.asking, [mode.token.reveal(), *others])
            found = exposure(scores[0], scores[1:], options.level)
            yield ExposureRecord(
                mode=mode.name,
                of=of,
                bits=found.bits,
                low=found.low,
                high=found.high,
                level=found.level,
                rank=found.rank,
                candidates=found.candidates,
            )


def said(live: Subject, requests: Sequence[Attack], progress: Callable[[int], None]) -> Iterator[SaidRecord]:
    """How many answers to each request under each mode hold a token; none of them is kept."""
    options, asking = live.options, live.asking
    some = PromptSet(live.prompts.table.iloc[live.confirmed].reset_index(drop=True))
    context = asking.checkpoint.context
    reference = build_rows(asking.chat, some, live.modes, context)
    controls = Controls(extracts=tuple(requests), seed=options.seed)
    by_condition: dict[tuple[str, str], list[Row]] = {}
    for row in build_control_rows(asking.chat, some, live.modes, controls, reference, context):
        by_condition.setdefault((str(row.mode), row.condition), []).append(row)
    over, count = live.over(live.confirmed), 0
    for (mode, condition), rows in by_condition.items():
        answers = asking.answers([row.ids for row in rows], options.answer)
        holds = np.array([redact_echoes(answer, live.modes) != answer for answer in answers])
        count += int(holds.sum())
        progress(count)
        yield SaidRecord(
            mode=mode,
            condition=without_mode(condition, mode),
            count=int(holds.sum()),
            rate=EstimateRecord.from_estimate(upper_bound(holds, options.level, over)),
        )
