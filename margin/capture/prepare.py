"""Preparing: from what is asked for to rows that were proved, and a manifest that says what decides them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

from margin.capture.blank import blank
from margin.capture.checkpoint import TEMPLATE, TOKENIZER, Checkpoint, load_checkpoint
from margin.capture.fitting import require_fitting
from margin.capture.hooks import n_layers
from margin.capture.identity import environment, identify
from margin.capture.layers import parse_layers
from margin.capture.placement import devices_of
from margin.capture.quiet import without_bars
from margin.capture.ranks import Ranks
from margin.capture.thinking import beyond
from margin.errors import MarginError
from margin.inputs.attacks import load_attacks
from margin.inputs.chat import Chat
from margin.inputs.controls import Controls
from margin.inputs.decoys import SETS, DecoySet, draw_decoys, load_decoys
from margin.inputs.modes import ModeSet
from margin.inputs.modes_file import load_modes
from margin.inputs.moment import FIRST, Moment, moment_of
from margin.inputs.options import CaptureOptions
from margin.inputs.preflight import Preflight, check_names, preflight
from margin.inputs.prompts import Prompts, PromptSet, load_prompts
from margin.inputs.rows import Row, build_control_rows, build_rows
from margin.run.manifest import NAME, Manifest, read_manifest
from margin.run.records import Counts
from margin.streams import say

DIGITS = 6
"""Digits that a number of decoy sets has at most."""


@dataclass(frozen=True)
class Inputs:
    """What is asked of a model."""

    prompts: PromptSet
    modes: ModeSet
    controls: Controls


@dataclass(frozen=True, eq=False)
class Job:
    """A run to be made: all that its stages go by, passed whole from one to the next."""

    checkpoint: Checkpoint
    inputs: Inputs
    rows: Sequence[Row]
    options: CaptureOptions
    manifest: Manifest
    folder: Path
    ranks: Ranks
    moment: Moment | None = None
    """Where rows are measured; None at the first token of the answer."""

    @property
    def ids(self) -> list[list[int]]:
        """Token ids of each row."""
        return [row.ids for row in self.rows]

    @property
    def groups(self) -> list[str]:
        """Condition of each row."""
        return [row.condition for row in self.rows]

    def recorded(self, **changes: Any) -> Job:
        """The job with parts of its manifest changed."""
        return replace(self, manifest=self.manifest.replace(**changes))


def load_inputs(
    prompts: Prompts, modes: str | Path | ModeSet, options: CaptureOptions, public: Mapping[str, object]
) -> Inputs:
    """Read prompts, modes and attack templates.

    MarginError for what cannot be used, and where a live token stands in a name that a run or an error shows:
    `public`, each under what it is, and the paths of templates, which are looked at before they are read.
    """
    prompt_set = load_prompts(prompts)
    prompt_set = prompt_set if options.limit is None else prompt_set.limit(options.limit)
    mode_set = modes if isinstance(modes, ModeSet) else load_modes(modes)
    paths = {"the path of the attacks": options.attacks, "the path of the extracts": options.extracts}
    check_names(mode_set, {**public, **paths})
    if prompt_set.said and not isinstance(prompts, PromptSet) and not options.quiet:
        say(mode_set.redact(prompt_set.said))
    attacks = () if options.attacks is None else load_attacks(options.attacks)
    extracts = () if options.extracts is None else load_attacks(options.extracts, "extract")
    controls = Controls(
        tuple(options.controls),
        attacks,
        _decoys(mode_set, options),
        options.decoy_prompts,
        options.draws,
        options.seed,
        extracts,
    )
    return Inputs(prompt_set, mode_set, controls)


def _decoys(modes: ModeSet, options: CaptureOptions) -> tuple[DecoySet, ...]:
    """The decoy sets that are asked for."""
    asked = options.decoys
    if asked == "auto":
        try:
            return draw_decoys(modes, SETS, options.seed)
        except MarginError:
            if not options.quiet:
                say("no decoys: the live tokens are too short to draw others like them")
            return ()
    if isinstance(asked, int):
        return draw_decoys(modes, asked, options.seed)
    if (number := str(asked)).lstrip("+-").isdecimal() and not number.isdecimal():
        raise MarginError(f"decoys {number}: take a whole number from 0 on, or a file of tokens")
    if number.isdecimal():
        if len(number) > DIGITS:
            raise MarginError(f"decoys: a number of {len(number)} digits is too many sets")
        return draw_decoys(modes, int(number), options.seed)
    return load_decoys(asked, modes)


def checkpoint_for(
    model: str | Path | Checkpoint, adapter: str | Path | None, options: CaptureOptions, ranks: Ranks
) -> Checkpoint:
    """The checkpoint, loaded unless it is, and what is worth saying of it."""
    with without_bars() if options.quiet else nullcontext():
        checkpoint = (
            model
            if isinstance(model, Checkpoint)
            else load_checkpoint(
                model,
                adapter=adapter,
                dtype=options.dtype,
                device=ranks.device or options.device,
                trust_remote_code=options.trust_remote_code,
            )
        )
    if (own := checkpoint.adapters_own) and ranks.first and not options.quiet:
        others = [what for what in (TOKENIZER, TEMPLATE) if what not in own]
        came = f"{' and '.join(own)} that came with the adapter"
        say("; ".join([f"taken: the {came}", *(f"the {what} is the model's" for what in others)]))
    base = PurePath(checkpoint.adapters_base or checkpoint.name).name
    if ranks.first and base.casefold() != PurePath(checkpoint.name).name.casefold():
        say(f"adapter {checkpoint.adapter} says it was trained on {base}, and is on {checkpoint.name} here")
    if ranks.first and (said := blank(checkpoint.model)):
        say(f"weights of {checkpoint.adapter or checkpoint.name} that are {said}")
    return checkpoint


def proved_rows(
    checkpoint: Checkpoint, inputs: Inputs, options: CaptureOptions
) -> tuple[Chat, Preflight, list[Row], Moment | None]:
    """The rows of the modes and of every control, once it is proved that each mode reaches the model, and
    where they are measured.

    MarginError where one does not, or a row does not fit.
    """
    chat = Chat(
        checkpoint.tokenizer, options.chat_kwargs or {}, options.response_prefix, options.chat_template
    )
    prompts, modes, context = inputs.prompts, inputs.modes, checkpoint.context
    moment = moment_of(chat, modes, options.measure_after)
    rendered = preflight(chat, modes, prompts, context, answers_first=moment is None)
    rows = build_rows(chat, prompts, modes, context)
    rows += build_control_rows(chat, prompts, modes, inputs.controls, rows, context)
    before = 0 if moment is None else options.thought_tokens + beyond(moment)
    require_fitting(checkpoint, rows, options.positions, options.generate, before)
    return chat, rendered, rows, moment


def prepare(
    checkpoint: Checkpoint,
    inputs: Inputs,
    options: CaptureOptions,
    folder: Path,
    ranks: Ranks,
    imported: str | None = None,
) -> Job:
    """Prove that every mode reaches the model, make the rows, and say what decides their numbers.

    `imported` is the engine that the states are from, where they are not made here.

    MarginError where that is not so, IncomparableError where the folder holds a run of something else.
    """
    chat, rendered, rows, moment = proved_rows(checkpoint, inputs, options)
    prompts, modes = inputs.prompts, inputs.modes
    if chat.unread and ranks.first:
        names = ", ".join(chat.unread)
        say(f"the chat template reads no {names}: what --chat-kwargs says of it changes nothing")
    decided = options.deciding() | {
        "layers": parse_layers(options.layers, n_layers(checkpoint.model)),
        "controls": inputs.controls.identity(),
    }
    if imported is not None:
        decided["imported"] = imported
    if options.measure_after != FIRST:  # earlier runs say nothing of it
        decided |= {"measure_after": options.measure_after, "thought_tokens": options.thought_tokens}
    manifest = Manifest(
        identity=identify(checkpoint, chat, rendered, modes, prompts, rows, decided),
        environment=environment(devices_of(checkpoint.model), checkpoint.tokenizer_from),
        tail=rendered.tail,
        counts=Counts(prompts=len(prompts), modes=len(modes.names), rows=len(rows)),
    )
    if (folder / NAME).exists():
        manifest = _going_on(manifest, folder, ranks)
    ranks.from_first(lambda: manifest).require_same(manifest, folder)
    return Job(checkpoint, inputs, rows, options, manifest, folder, ranks, moment)


def _going_on(manifest: Manifest, folder: Path, ranks: Ranks) -> Manifest:
    """The manifest to go on with where a run was begun; IncomparableError where that was another."""
    there = read_manifest(folder)
    there.require_same(manifest, folder)
    if there.unrecorded and not there.complete and ranks.first:
        say(
            f"{folder} was begun by an earlier version, which did not record "
            f"{', '.join(there.unrecorded)}: taken to be the same"
        )
    return manifest.replace(identity=there.identity)  # what was not recorded stays so
