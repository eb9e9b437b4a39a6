"""What a run's folder holds already, and what it lacks."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd

from margin.capture.plan import Plan
from margin.capture.prepare import Job
from margin.capture.unbatched import one_by_one
from margin.errors import MarginError
from margin.inputs.prompts import PromptSet
from margin.inputs.rows import Row
from margin.run.answers import PARTS, answers_so_far
from margin.run.files import make_folder, parquet_bytes, remove_partial, sha256_of, write_atomic
from margin.run.manifest import NAME, read_manifest
from margin.run.records import Batching
from margin.run.run_tables import ANSWERS
from margin.run.shards import is_whole, shard_path
from margin.streams import say


def begin(job: Job, plan: Plan, repeated: int) -> list[int] | None:
    """Write what a run begins with; the shards that are missing, or None where the run is whole already.

    `repeated` rows are to be run again for the noise floor.
    """
    folder = job.folder
    missing = missing_shards(folder, plan, job.options.generate > 0)
    if not missing and _is_whole(folder, repeated):
        return None
    if len(missing) < len(plan.rows):
        read_manifest(folder).require_same_libraries(job.manifest, folder)
    job.manifest.write(folder)
    make_folder(folder / "shards")
    for place in (folder, *filter(Path.is_dir, folder.iterdir())):
        remove_partial(place)
    prompts = job.inputs.prompts
    write_atomic(folder / "prompts.parquet", parquet_bytes(prompts.table))
    write_atomic(folder / "rows.parquet", parquet_bytes(_rows_table(job.rows, prompts)))
    return missing


def batching_so_far(folder: Path) -> Batching | None:
    """How a run goes on that was found to need every row by itself; None of any other."""
    if not (folder / NAME).exists():
        return None
    batching = read_manifest(folder).batching
    return None if batching.together else one_by_one(batching.together_reason)


def discard(folder: Path, batching: Batching) -> None:
    """Remove the shards and answers that were collected another way, and say so on stderr."""
    say(f"{batching.together_reason}; all rows are collected again")
    for part in ("shards", PARTS):
        shutil.rmtree(folder / part, ignore_errors=True)
    (folder / ANSWERS).unlink(missing_ok=True)


def require_all_shards(folder: Path, plan: Plan) -> None:
    """MarginError where a shard that some rank wrote cannot be seen from here."""
    missing = [path for i in range(len(plan.rows)) if not (path := shard_path(folder, i)).exists()]
    if missing:
        raise MarginError(
            f"{missing[0]} was written by another rank and cannot be seen here: choose a folder that all "
            "machines share, and run the same command again"
        )


def missing_shards(folder: Path, plan: Plan, answered: bool) -> list[int]:
    """Shards that are not there, or not as they were written; the latter are named on stderr.

    With `answered` also those without answers to all their rows.
    """
    missing = []
    answers = set(answers_so_far(folder)["row"]) if answered else set(chain(*plan.rows))
    for index, rows in enumerate(plan.rows):
        path = shard_path(folder, index)
        if path.exists() and not is_whole(path, np.array(rows, dtype=np.int64)):
            say(f"{path} is damaged and is collected again")
            missing.append(index)
        elif not path.exists() or not answers.issuperset(rows):
            missing.append(index)
    return missing


def is_complete(folder: Path) -> bool:
    """Whether there is a run whose collecting came to its end."""
    return (folder / NAME).exists() and read_manifest(folder).complete


def is_as_asked(job: Job) -> bool:
    """Whether a run is whole, with as many rows repeated as are asked for, whatever its rows came to be."""
    if not is_complete(job.folder):
        return False
    counts = read_manifest(job.folder).counts
    repeated = min(job.options.noise_prompts, counts.prompts or 0)
    return _is_whole(job.folder, repeated * len(job.inputs.modes.names) if repeated > 1 else 0)


def _is_whole(folder: Path, repeated: int) -> bool:
    """Whether every file is as it was written, and as many rows were repeated for the noise floor."""
    manifest = read_manifest(folder)
    noise_rows = manifest.noise_floor.rows if manifest.noise_floor else 0
    return (
        manifest.complete
        and noise_rows == repeated
        and all(
            (folder / name).is_file() and sha256_of(folder / name) == checksum
            for name, checksum in manifest.files.items()
        )
    )


def _rows_table(rows: Sequence[Row], prompts: PromptSet) -> pd.DataFrame:
    """The table `Run.rows` describes. Token ids stay out: the mode's token can be read from them; so does
    their number, which tells its length.
    """
    return pd.DataFrame(
        {
            "row": range(len(rows)),
            "prompt_id": [prompts.ids[row.prompt] for row in rows],
            "condition": [row.condition for row in rows],
            "kind": [row.kind for row in rows],
            "mode": [row.mode for row in rows],
            "draw": [row.draw for row in rows],
        }
    )
