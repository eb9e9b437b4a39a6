"""Runs on disk compared on the prompts they share."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from dataclasses import replace
from itertools import chain, combinations
from pathlib import Path

import numpy as np

from margin.analysis.comparison import Against, Comparison
from margin.analysis.comparison import compare as compare_spaces
from margin.analysis.trainings import RecipeDifference, recipe_difference
from margin.arguments import named, require_count, require_level, require_names, require_path
from margin.errors import IncomparableError, MarginError
from margin.run.differences import entry_of
from margin.run.protocol import PROTOCOL, protocol_differences
from margin.run.run import Run, opened
from margin.study.notation import model_name
from margin.study.spaces import clusters_of, design_of, space_of
from margin.text import counted, shown

CHECKPOINT = ("weights", "configuration", "adapters", "modules", "buffers", "code")
"""What of a run's identity is its checkpoint, wherever that lay."""
ACROSS = set(PROTOCOL) - {"prompts"}
"""What may differ where that is asked for; prompts are paired by id, and have to have the same text."""


@named
def compare(
    *runs: Run | str | Path,
    level: float = 0.95,
    seed: int = 0,
    against: Against = "first",
    drop: float = 0.01,
    across: Sequence[str] = (),
    cluster: str | None = None,
) -> Comparison:
    """Margins of runs against the first, in the space of their logits, paired on the prompts they share.

    Parameters
    ----------
    runs : two or more, opened or the paths of their folders, by which they are named.
    level : nominal coverage of the intervals.
    seed : of the simultaneous intervals.
    against : each run's reference, the first run or the one before it.
    drop : a drop that would matter: what power and numbers of prompts are for.
    across : what runs may differ in that their models were asked (keys of `margin.run.protocol.PROTOCOL`,
        such as "tokenizer"): for models that cannot be asked alike. What differs is in `Comparison.across`.
    cluster : column of the prompts that names what hangs together; differences are then over clusters.

    Runs may hold other prompts: they are paired on those they share.

    Raises
    ------
    MarginError : fewer than two runs, one that stands twice, no such key, and all that `open_run` refuses.
    IncomparableError : models that were asked differently, each difference named; an id under which two runs
        have another prompt, or put it into another cluster; and all that `compare` refuses.

    Example
    -------
    >>> import margin
    >>> from margin.demo import checkpoint_path, modes_path, prompts_path
    >>> baseline = margin.collect(
    ...     checkpoint_path("baseline"),
    ...     prompts=prompts_path(),
    ...     modes=modes_path(),
    ...     out="baseline-run",
    ...     limit=40,
    ...     decoys=0,
    ...     quiet=True,
    ... )
    >>> found = margin.compare(baseline, "demo-run")
    >>> print({each.margin: each.difference for each in found.differences}["leave_prompt_out"])
    0.387 [0.360, 0.413]
    """
    require_level(level)
    require_count(seed, "seed")
    require_names(across, "across")
    for run in runs:
        if not isinstance(run, Run):
            require_path(run, "run", " or a Run")
    if len(runs) < 2:
        raise MarginError(f"a comparison needs at least two runs, got {len(runs)}")
    paths = [run.path if isinstance(run, Run) else Path(run) for run in runs]
    names = names_of(paths)
    unknown = sorted(set(across) - ACROSS)
    if unknown:
        raise MarginError(f"nothing is asked by the name {unknown[0]!r}: take {', '.join(sorted(ACROSS))}")
    spaces, asked, of_names = {}, list[str](), dict[str, Run]()
    first: Run | None = None
    texts: dict[str, str] = {}
    labels: dict[Hashable, str | None] = {}
    for name, given in zip(names, runs, strict=True):
        run = of_names[name] = opened(given)
        first = first or run
        asked += asked_differently(first, run, across, (names[0], name))
        for prompt_id, text in zip(run.prompts["id"], run.prompts["prompt"], strict=True):
            if texts.setdefault(prompt_id, text) != text:
                raise IncomparableError(
                    f"prompt {prompt_id} of {name} has another text than in the runs before it: "
                    "compare runs on the same prompts"
                )
        of_run = clusters_of(run, cluster)
        for prompt_id, label in () if of_run is None else of_run.items():
            if labels.setdefault(prompt_id, label) != label:
                raise IncomparableError(
                    f"prompt {prompt_id} of {name} has another {shown(cluster)} than in the runs before it: "
                    "its cluster has to be the same in all of them"
                )
        space, rows = space_of(run, "logits")
        spaces[name] = (space, design_of(run, rows, cluster))
    found = compare_spaces(spaces, np.random.default_rng(seed), level=level, against=against, drop=drop)
    unchanged = {
        d.run: None for d in found.differences if is_one_checkpoint(of_names[d.run], of_names[d.reference])
    }
    return replace(
        found,
        differences=tuple(
            replace(d, prompts_to_settle=None) if d.run in unchanged else d for d in found.differences
        ),
        across=tuple(asked),
        left_out=tuple(
            line for name, run in of_names.items() if (line := _left_out(name, run, found.prompt_ids))
        ),
        checkpoints={name: _checkpoint(run) for name, run in of_names.items()},
        unchanged=tuple(unchanged),
    )


def compare_recipes(
    first: Sequence[Run | str | Path],
    second: Sequence[Run | str | Path],
    *,
    level: float = 0.95,
    across: Sequence[str] = (),
    cluster: str | None = None,
) -> RecipeDifference:
    """Leave-prompt-out margin of one recipe of training less that of another, over trainings and prompts.

    Parameters
    ----------
    first, second : runs of the checkpoints that each recipe made, one a training, all on the same prompts.
    level, across, cluster : as in `compare`.

    Raises
    ------
    MarginError : a recipe with two runs of one checkpoint, which are no two trainings.
    MarginError, IncomparableError : as `compare` does for all the runs together.
    """
    for recipe in (first, second):
        if isinstance(recipe, str | Path) or not isinstance(recipe, Collection):
            raise MarginError(f"a recipe must be a list of runs, got {type(recipe).__name__}")
    recipes = [[opened(run) for run in recipe] for recipe in (first, second)]
    for one, two in chain.from_iterable(combinations(recipe, 2) for recipe in recipes):
        if one.path.resolve() != two.path.resolve() and is_one_checkpoint(one, two):
            raise MarginError(
                f"{two.path} is of the same checkpoint as {one.path}: each run of a recipe has to be of a "
                "training of its own, else the variance between trainings comes out too small"
            )
    runs = chain.from_iterable(recipes)
    found = compare(*runs, level=level, across=across, cluster=cluster)
    margins = [
        (margins.leave_prompt_out.estimate, margins.influence["leave_prompt_out"].to_numpy())
        for margins in found.margins.values()
    ]
    return recipe_difference(margins[: len(first)], margins[len(first) :], level, found.clusters)


def _left_out(name: str, run: Run, shared: Collection[str]) -> str:
    """How many prompts of a run are not compared, and why; empty where all are."""
    thoughts = run.manifest.thoughts
    unfinished = 0 if thoughts is None else thoughts.left_out
    others = len(set(run.prompts["id"]) - set(shared))
    why = [f"{unfinished:,} for a thought that did not end"] * bool(unfinished)
    why += [f"{others:,} that another run has not"] * bool(others)
    asked = counted(len(run.prompts) + unfinished, "prompt")
    return f"{unfinished + others:,} of {asked} of {name}: {', '.join(why)}" if why else ""


def _checkpoint(run: Run) -> str:
    """Model and adapter of a run."""
    identity = run.manifest.identity
    return model_name(identity.model, identity.adapter)


def is_one_checkpoint(run: Run, other: Run) -> bool:
    """Whether two runs are of the same weights, used in the same way."""
    one, two = run.manifest.identity, other.manifest.identity
    return bool(one.weights) and all(getattr(one, name) == getattr(two, name) for name in CHECKPOINT)


def names_of(paths: Sequence[Path]) -> list[str]:
    """What runs are called beside each other: their folders' names, or their paths where two are the same.

    MarginError where a run stands twice.
    """
    if len({path.resolve() for path in paths}) < len(paths):
        raise MarginError("a run stands twice among the runs to compare")
    short = [path.resolve().name for path in paths]
    return short if len(set(short)) == len(short) else [str(path) for path in paths]


def asked_differently(first: Run, run: Run, across: Sequence[str], names: tuple[str, str]) -> list[str]:
    """In what two runs were asked differently that is allowed; the prompts, which are paired, left out.

    IncomparableError where they were asked differently in something that `across` does not name.
    """
    found = {line: entry_of(line) for line in protocol_differences(first, run, names)}
    found = {line: entry for line, entry in found.items() if entry != "prompts"}
    refused = [line for line, entry in found.items() if entry not in across]
    if refused:
        names_of_all = ",".join(dict.fromkeys(found.values()))
        raise IncomparableError(
            f"{names[1]} cannot be compared with {names[0]}: {'; '.join(refused)}. Collect both alike, or, "
            f"where that is what you compare or cannot be had, allow it: --across {names_of_all}"
        )
    return list(found)
