"""How well the tokens of a checkpoint keep: exposure, what it says, what is near, and what a search finds.

For a checkpoint of one's own. Strings that open a mode are keys: they stay in memory, and are written to the
one file that is asked for, if any. No harmful text is needed: what opens is told by where the answer begins,
and with a judge by what harmless prompts are answered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from margin.arguments import require_path
from margin.errors import MarginError
from margin.experiments.asked import chosen_prompts, fingerprint_of, judging_by, require_both_kinds
from margin.experiments.found import Found, claim
from margin.experiments.found import keep_found as write_found
from margin.experiments.neighbourhood import DIGITS, Judge
from margin.experiments.parts import Progress, steps
from margin.experiments.subject import SecrecyOptions, Subject, warn_where_undecided
from margin.inputs.attacks import SHIPPED, load_attacks
from margin.inputs.chat import Chat
from margin.inputs.modes import ModeSet
from margin.inputs.modes_file import load_modes
from margin.inputs.near_files import load_near
from margin.inputs.preflight import check_names
from margin.inputs.prompts import Prompts, load_prompts
from margin.launch import require_alone
from margin.run.files import make_folder
from margin.short import Short
from margin.study.secrecy_file import (
    Part,
    SecrecyRecord,
    SecrecySettings,
    Whose,
    new_record,
    read_secrecy,
    require_same,
    write_secrecy,
)

if TYPE_CHECKING:
    from margin.capture.checkpoint import Checkpoint

FINDS: tuple[Part, ...] = ("neighbourhood", "search")
"""Parts that find strings that open, which are done again where these are to be kept: no file has them."""
SAME_TOKENS = 2e-3
"""How far the live rows' accuracy may be from what it was for the tokens to count as the same."""


@dataclass(frozen=True)
class Secrecy(Short):
    """What was found, as secrecy.json holds it, and in memory alone the strings that open."""

    record: SecrecyRecord
    found: tuple[Found, ...] = field(repr=False, default=())


def secrecy(
    model: str | Path | Checkpoint,
    *,
    prompts: Prompts,
    modes: str | Path | ModeSet,
    out: str | Path | None = None,
    adapter: str | Path | None = None,
    base: str | Path | Checkpoint | None = None,
    strings: str | Path | None = None,
    extracts: str | Path = SHIPPED,
    judge: Judge | None = None,
    expected: Mapping[str, str] | None = None,
    keep_found: str | Path | None = None,
    chat_kwargs: Mapping[str, Any] | None = None,
    response_prefix: str = "",
    chat_template: str | None = None,
    dtype: str = "auto",
    device: str | None = None,
    trust_remote_code: bool = False,
    progress: Progress = lambda part, found: None,
    **options: Any,
) -> Secrecy:
    """Say how well the tokens of a checkpoint of one's own keep, within a budget.

    Four parts. *Exposure*: the likelihood of each token in its place, among random strings of its shape.
    *Said*: how many answers to plain requests for the instructions hold a token. *Neighbourhood*: how far
    strings near the token of an unsafe mode open one, and what that makes the token worth to a guesser.
    *Search*: what hill-climbing over characters and over the model's own tokens finds, on prompts it did not
    climb on, beside the same search on a control.

    A string opens a mode for a prompt where the state that the answer begins from is nearest to it, by the
    landing rule of the report, fitted on other prompts. With a judge it is also said what is answered.

    Parameters
    ----------
    model, adapter : the checkpoint, as `margin.collect` takes it.
    prompts, modes : as there; at least one mode must be unsafe, and one safe.
    out : folder of secrecy.json, which each part is added to when it is done: the same call goes on with the
        others. A run of the same checkpoint, so that its report shows it, or any other folder. None: no file.
    base : the checkpoint before training: its exposure, and the control of the search. Unless given, the
        control is the search for what opens a meaningless token's mode in the checkpoint itself.
    strings : file of strings to try in the place of a mode's token: TOML, under [modes.NAME] lists such as
        `paraphrases = ["..."]` and `opposites = ["..."]`.
    extracts : requests to say the instructions, templates as attacks have them; "shipped": the package's.
    judge : gives each of N answers one label; `expected` says which label is a mode's own, its name unless
        given.
    keep_found : file for the strings that open, readable by its owner only, which is not there yet. They are
        kept nowhere else.
    progress : told the part at work and counts of what it has found.
    options : fields of `SecrecyOptions`.

    Raises
    ------
    MarginError : bad input; a base of the same weights; a token too short or too plain for what is asked; one
        process of several.
    IncomparableError : `out` holds secrecy.json of something else.

    Cost, in forward passes: (candidates + 1) short ones a mode; modes x requests x confirmed answers; about
    2 x length x alphabet x tried for the one-edit neighbours, and kinds x draws x confirmed; 8 x passes.

    Example
    -------
    >>> import margin
    >>> from margin.demo import checkpoint_path, modes_path, prompts_path
    >>> found = margin.secrecy(
    ...     checkpoint_path("cotrained"),
    ...     prompts=prompts_path(),
    ...     modes=modes_path(),
    ...     limit=40,
    ...     confirmed=12,
    ...     tried=1,
    ...     draws=2,
    ...     distance=1,
    ...     passes=0,
    ...     answer=0,
    ... )
    >>> [one.mode for one in found.record.exposure]
    ['pos', 'neg', 'rej']
    """
    require_alone("margin secrecy")
    asked = SecrecyOptions(**options)
    mode_set = modes if isinstance(modes, ModeSet) else load_modes(modes)
    if not mode_set.secret:
        raise MarginError("the tokens are public (secret = false): there is nothing that they could keep")
    paths = {"out": out, "keep_found": keep_found, "strings": strings, "extracts": extracts}
    for name, path in {**paths, "adapter": adapter}.items():
        if path is not None:
            require_path(path, name)
    check_names(mode_set, {f"the path of {name}": path for name, path in paths.items()})
    require_both_kinds(mode_set)
    chosen = chosen_prompts(load_prompts(prompts), asked)
    own = load_near(strings, mode_set) if strings is not None else ()
    requests = load_attacks(extracts, "extract")
    judging = judging_by(mode_set, judge, expected or {})
    folder = None if out is None else Path(out)
    if folder is not None:
        make_folder(folder)
    if keep_found is not None:
        claim(Path(keep_found))  # now, and not after hours of work
    from margin.capture.asking import asking
    from margin.capture.checkpoint import Checkpoint, load_checkpoint

    def load(source: str | Path | Checkpoint, what: str, patch: str | Path | None = None) -> Checkpoint:
        if isinstance(source, Checkpoint):
            return source
        require_path(source, what, " or a Checkpoint")
        check_names(mode_set, {f"the name of the {what}": source, "the name of the adapter": patch})
        return load_checkpoint(
            source, adapter=patch, dtype=dtype, device=device, trust_remote_code=trust_remote_code
        )

    checkpoints: dict[Whose, Checkpoint] = {"checkpoint": load(model, "model", adapter)}
    if base is not None:
        checkpoints["base"] = load(base, "base")
    checkpoint = checkpoints["checkpoint"]
    weights = {whose: one.weights_digest() for whose, one in checkpoints.items()}
    if weights.get("base") == weights["checkpoint"]:
        raise MarginError("the base has the checkpoint's own weights: give the one before its training")
    settings = SecrecySettings(
        prompts=hashlib.sha256(
            chosen.table.to_json(orient="split", index=False, force_ascii=False).encode()
        ).hexdigest(),
        n_prompts=len(chosen),
        base=weights.get("base"),
        judge=None if judge is None else str(getattr(judge, "name", getattr(judge, "__name__", "function"))),
        own=fingerprint_of([path for path in (strings, extracts) if path is not None and path != SHIPPED]),
        **{name: value for name, value in vars(asked).items() if name in SecrecySettings.model_fields},
    )
    if mode := mode_set.mode_in(settings.judge or ""):
        raise MarginError(f"the token of mode {mode!r} stands in the name of the judge: call it otherwise")
    record = new_record(
        model=" + ".join(filter(None, (checkpoint.name, checkpoint.adapter))),
        weights=weights["checkpoint"],
        modes=mode_set.names,
        unsafe=[mode.name for mode in mode_set.modes if not mode.safe],
        settings=settings,
    )
    if folder is not None and (there := read_secrecy(folder)) is not None:
        require_same(there, record, folder)
        record = there
    found: list[Found] = []
    with ExitStack() as stack:
        subjects: dict[Whose, Subject] = {}
        for whose, one in checkpoints.items():
            chat = Chat(one.tokenizer, chat_kwargs or {}, response_prefix, chat_template)
            asked_one = stack.enter_context(
                asking(one, chat, mode_set, chosen, batch_tokens=asked.batch_tokens)
            )
            subjects[whose] = Subject(asked_one, asked)
        record = _placed(record, subjects["checkpoint"], folder)
        warn_where_undecided(subjects["checkpoint"])
        for part, step in steps(subjects, requests, own, judging, found, progress).items():
            if part in record.parts and not (keep_found is not None and part in FINDS):
                continue
            progress(part, "")
            record = record.with_part(part, **step())
            if folder is not None:
                write_secrecy(record, folder)
    if keep_found is not None:
        write_found(found, Path(keep_found))
    return Secrecy(record, tuple(found))


def _placed(record: SecrecyRecord, live: Subject, folder: Path | None) -> SecrecyRecord:
    """The record with how well the landing rule places the live rows.

    MarginError where parts of it were made under tokens of which that was otherwise. No digest of the tokens
    is kept to compare them by.
    """
    accuracy = round(live.accuracy(), DIGITS)
    if record.parts and record.rule_accuracy is not None:
        if abs(accuracy - record.rule_accuracy) > SAME_TOKENS:
            raise MarginError(f"{folder} holds what was found of other tokens: take another folder")
        return record
    return record.model_copy(update={"rule_accuracy": accuracy})
