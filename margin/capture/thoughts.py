"""Rows measured after a thought: each row with what the model wrote to it, as if that were the prompt's.

From here on a row is longer and nothing else is different: batches, prefixes, proofs, resuming and the head
pass are those of any other row. Thoughts are made a part at a time and kept, without any live token; a row
whose thought held one is kept without its ids, and thinks again where a run is resumed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pandas as pd

from margin.capture.budget import Budget
from margin.capture.budget_search import SMALLEST
from margin.capture.checkpoint import Checkpoint
from margin.capture.complete_cases import complete_cases
from margin.capture.cost import Pace, duration, paced
from margin.capture.hooks import hidden_state_hooks
from margin.capture.plan import BATCH_COST, Batch, Plan, make_plan
from margin.capture.prepare import Job
from margin.capture.progress import progress
from margin.capture.rotary import steady_up_to
from margin.capture.thinking import Thought, decoder, greedy_thoughts, then_ids
from margin.capture.verification import verify_batching
from margin.errors import MarginError
from margin.inputs.echoes import redact_echoes
from margin.inputs.modes import ModeSet
from margin.inputs.moment import Moment
from margin.inputs.prompts import PromptSet
from margin.inputs.rows import Row
from margin.run.files import make_folder
from margin.run.manifest import NAME, read_manifest
from margin.run.records import Thoughts
from margin.run.thoughts import in_words, thoughts_so_far, write_all, write_part
from margin.streams import say

Found = Mapping[int, Thought]
"""Thoughts by the place of their row among those asked."""


def think(job: Job, moment: Moment) -> Job:
    """The job with rows that go on to where they are measured; prompts that do not come so far are left out.

    A prompt of which a row under a mode does not is left out altogether, one of which a row under a control
    does not of that control: of all decoys, or of an attack under all modes, since these have margins.

    Raises
    ------
    MarginError : fewer than two prompts come so far; a model that cannot generate.

    Cost: a pass a row and one a token of its thought, and about twenty forward passes of a row.
    """
    folder, ranks = job.folder, job.ranks
    parts = _parts(job)
    missing = ranks.from_first(lambda: _begin(job, parts))
    of_missing = {row for index in missing for row in parts.rows[index]}
    found = {row: thought for row, thought in _kept(folder).items() if row not in of_missing}
    if missing:
        own = _think(job, moment, parts, ranks.share(missing))
        found |= own if ranks.split else dict(ranks.from_all(list(own.items())))
    staying = complete_cases(job.rows, {row for row, thought in found.items() if thought.ended})
    prompts = list(dict.fromkeys(job.rows[row].prompt for row in staying))
    after = {row: then_ids(job.checkpoint.tokenizer, found[row], moment) for row in staying}
    record = _record(job, moment, found, len(prompts), sum(map(bool, after.values())))
    if ranks.first:
        rows = {row: place for place, row in enumerate(staying)}
        table = _table(job.checkpoint, job.inputs.modes, found).drop(columns="asked")
        write_all(folder, pd.concat([_places(job, rows), table], axis=1))
        if not job.options.quiet:
            say(in_words(record))
    if len(prompts) < 2:
        raise MarginError(
            f"{in_words(record)}: a margin takes two prompts at least; take more --thought-tokens, or mend "
            "--measure-after"
        )
    return replace(
        job,
        inputs=replace(job.inputs, prompts=_some(job.inputs.prompts, prompts)),
        rows=_extended(job, found, after, prompts),
    ).recorded(
        counts=job.manifest.counts.replace(prompts=len(prompts), rows=len(staying)),
        thoughts=record,
    )


def _parts(job: Job) -> Plan:
    """Which rows think together. They stay the same whatever is thought."""
    asked = job.options.batch_tokens
    return make_plan(
        job.ids,
        job.groups,
        budget=4 * SMALLEST if asked == "auto" else asked,
        shard_rows=job.options.shard_rows,
        reuse_prefix=False,
    )


def _begin(job: Job, parts: Plan) -> list[int]:
    """Say in the folder what run it is of; the parts of which a row's thought is not there, or not whole."""
    folder = job.folder
    if (folder / NAME).exists():  # of the same run, which was proved
        read_manifest(folder).require_same_libraries(job.manifest, folder)
    else:
        make_folder(folder)
        job.manifest.write(folder)
    kept = _kept(folder)
    return [index for index, rows in enumerate(parts.rows) if not kept.keys() >= set(rows)]


def _kept(folder: Path) -> dict[int, Thought]:
    """Thoughts that are on disk, but for those that held a live token."""
    table = thoughts_so_far(folder)
    if table.empty:
        return {}
    lines = zip(table["asked"], table["ids"], table["ended"], table["cut"], strict=True)
    return {
        int(row): Thought(() if ids is None else tuple(map(int, ids)), bool(ended), bool(cut))
        for row, ids, ended, cut in lines
        if ids is not None or not ended
    }


def _think(job: Job, moment: Moment, parts: Plan, missing: Sequence[int]) -> dict[int, Thought]:
    """Think the missing parts, and keep each as it is whole."""
    options, ranks, model, ids = job.options, job.ranks, job.checkpoint.model, job.ids
    with hidden_state_hooks(model, ()) as hooks, paced(model) as pace:
        batching, _ = verify_batching(model, hooks, ids, job.groups)
    batches = [parts.batches[index] for index in missing]
    if ranks.first and not options.quiet:
        say(_cost(job, list(chain.from_iterable(batches)), pace))
    mixed = batching.reuse_prefix and max(map(len, ids)) + options.thought_tokens <= steady_up_to(model)
    budget = Budget(max(map(len, ids)) * options.shard_rows if batching.together else 1, fixed=ranks.split)
    found: dict[int, Thought] = {}
    total = sum(len(parts.rows[index]) for index in missing)
    with progress(total, 0, options.quiet or not ranks.first, "thinking") as advance:
        for index, of_part in zip(missing, batches, strict=True):
            own: dict[int, Thought] = {}
            for thoughts in greedy_thoughts(
                job.checkpoint, ids, of_part, moment, options.thought_tokens, budget, mixed=mixed
            ):
                own |= thoughts
                advance(len(thoughts))
            if ranks.first or not ranks.split:
                write_part(job.folder, index, _table(job.checkpoint, job.inputs.modes, own))
            found |= own
    return found


def _cost(job: Job, batches: Sequence[Batch], pace: Pace) -> str:
    rows = [row for batch in batches for row in batch.rows]
    limit = job.options.thought_tokens
    work = sum(len(job.ids[row]) for row in rows) + limit * sum(BATCH_COST + len(it.rows) for it in batches)
    time = duration(pace.of(work) / job.ranks.count)
    return f"thinking first: {len(rows):,} rows, {limit:,} tokens each at most: about {time} at most"


def _table(checkpoint: Checkpoint, modes: ModeSet, found: Found) -> pd.DataFrame:
    """The thoughts of some rows; no token, nor what nearly is one, stands in it.

    Read with special tokens and without: either may hold a live token that the other hides.
    """
    text_of, places = decoder(checkpoint.tokenizer), sorted(found)
    texts, ids = [], []
    for place in places:
        its = list(found[place].ids)
        plain = str(checkpoint.tokenizer.decode(its, skip_special_tokens=True))
        whole = text_of(its)
        shown, without = redact_echoes(whole, modes), redact_echoes(plain, modes)
        clean = (shown, without) == (whole, plain)
        texts.append(shown if without == plain else without)
        ids.append(its if clean else None)
    return pd.DataFrame(
        {
            "asked": pd.Series(places, dtype="int64"),
            "thought": texts,
            "n_tokens": pd.Series([len(found[place].ids) for place in places], dtype="int64"),
            "ended": [found[place].ended for place in places],
            "cut": [found[place].cut for place in places],
            "ids": pd.Series(ids, dtype=object),
        }
    )


def _places(job: Job, rows: Mapping[int, int]) -> pd.DataFrame:
    """What each row that was asked is, and its place in the run."""
    ids = job.inputs.prompts.ids
    return pd.DataFrame(
        {
            "row": pd.array([rows.get(place) for place in range(len(job.rows))], dtype="Int64"),
            "prompt_id": [ids[row.prompt] for row in job.rows],
            "condition": [row.condition for row in job.rows],
            "kind": [row.kind for row in job.rows],
            "draw": [row.draw for row in job.rows],
        }
    )


def _record(job: Job, moment: Moment, found: Found, staying: int, forced: int) -> Thoughts:
    ended = [len(thought.ids) for thought in found.values() if thought.ended]
    prompts = len(job.inputs.prompts)
    return Thoughts(
        text=moment.text,
        then=moment.then,
        limit=job.options.thought_tokens,
        rows=len(found),
        ended=len(ended),
        cut=sum(thought.cut for thought in found.values()),
        prompts=prompts,
        left_out=prompts - staying,
        forced=forced,
        tokens=sum(ended) / len(ended) if ended else 0.0,
    )


def _some(prompts: PromptSet, places: Sequence[int]) -> PromptSet:
    """Some prompts of a set."""
    origins = tuple(prompts.places[place] for place in places) if prompts.places else ()
    return PromptSet(prompts.table.iloc[list(places)].reset_index(drop=True), origins)


def _extended(job: Job, found: Found, after: Mapping[int, list[int]], prompts: Sequence[int]) -> list[Row]:
    """The rows that stay, with the ids of what was thought, and of what the template writes after that."""
    number = {prompt: place for place, prompt in enumerate(prompts)}
    rows = [(job.rows[place], [*found[place].ids, *forced]) for place, forced in after.items()]
    return [replace(row, prompt=number[row.prompt], ids=[*row.ids, *its]) for row, its in rows]
