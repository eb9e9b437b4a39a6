"""The rows of a run once more: those of its modes and of its decoy sets, proved to be the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from margin.capture.checkpoint import Checkpoint
from margin.capture.identity import environment, identify
from margin.capture.placement import devices_of
from margin.capture.prepare import Inputs
from margin.capture.tracer import TokenRows
from margin.errors import IncomparableError, discreet
from margin.inputs.chat import Chat
from margin.inputs.controls import Controls
from margin.inputs.decoys import draw_decoys
from margin.inputs.frame import frame_with_token
from margin.inputs.moment import FIRST
from margin.inputs.options import DECIDING, CaptureOptions
from margin.inputs.preflight import preflight
from margin.inputs.rows import Row, build_control_rows, build_rows
from margin.inputs.spans import Reader
from margin.run.manifest import Manifest
from margin.run.records import Identity
from margin.run.run import Run
from margin.text import shown


@dataclass(frozen=True, eq=False)
class RunRows:
    """Rows of a run, by the set of tokens they were asked with."""

    live: TokenRows
    places: NDArray[np.int64]
    """(n, k) places of the modes' rows in the run."""
    decoys: tuple[TokenRows, ...]
    """One a set: the prompts decoys were asked of, under each of its tokens."""
    decoy_places: tuple[NDArray[np.int64], ...]
    """(m, k) places of each set's rows in the run."""
    decoy_prompts: tuple[int, ...]
    """Positions of the prompts decoys were asked of."""


@discreet
def rows_of_run(checkpoint: Checkpoint, inputs: Inputs, options: CaptureOptions, run: Run) -> RunRows:
    """Rows of the modes and of the decoy sets, as the run was collected.

    What else the run holds (layers, controls, answers) need not be asked for again.

    Raises
    ------
    IncomparableError : the run is of another checkpoint, of other prompts, modes or texts around them, or has
        decoys that were not drawn from its seed and are not given.
    """
    if (after := run.manifest.identity.measure_after) != FIRST:
        raise IncomparableError(
            f"{run.path} is measured after {shown(after)}: what decides the mode is traced to the "
            "first token of an answer, in a run collected without --measure-after"
        )
    chat = Chat(
        checkpoint.tokenizer, options.chat_kwargs or {}, options.response_prefix, options.chat_template
    )
    prompts, modes, context = inputs.prompts, inputs.modes, checkpoint.context
    there = run.manifest.identity
    rendered = preflight(chat, modes, prompts, context)
    rows = build_rows(chat, prompts, modes, context)
    recorded = there.to_dict()
    decided = {"positions": 1, "generate": 0, "layers": [], "seed": 0, "save_logits": False}
    mine = identify(checkpoint, chat, rendered, modes, prompts, rows, decided).to_dict()
    for key in {"conditions", "ends", "controls", "layers", *DECIDING}:  # what is not asked for again
        mine.pop(key, None)
        mine |= {key: recorded[key]} if key in recorded else {}
    manifest = Manifest(
        identity=Identity.model_validate(mine),
        environment=environment(devices_of(checkpoint.model), checkpoint.tokenizer_from),
        tail=rendered.tail,
        counts=run.manifest.counts,
    )
    run.manifest.require_same(manifest, run.path)
    reader = Reader(chat, frame_with_token(chat, modes))
    spans = tuple(
        reader.check_token(mode.token.reveal(), f"the token of mode {mode.name!r}") for mode in modes.modes
    )
    k = len(modes.names)
    lines = run.rows
    live = TokenRows([row.ids for row in rows], spans)
    places = np.flatnonzero((lines["kind"] == "mode").to_numpy()).reshape(-1, k)
    controls = recorded.get("controls") or {}
    sets = int(controls.get("decoys", 0))
    if not sets:
        return RunRows(live, places, (), (), ())
    given = inputs.controls.decoys if isinstance(options.decoys, str) and options.decoys != "auto" else ()
    tokens = given or draw_decoys(modes, sets, there.seed)
    asked_for = Controls((), (), tokens, int(controls["decoy_prompts"]), 1, there.seed)
    decoys = build_control_rows(chat, prompts, modes, asked_for, rows, context)
    of_run = lines.index[lines["kind"] == "decoy"].to_numpy()
    if len(of_run) != len(decoys):
        raise IncomparableError(f"{run.path} holds decoys of a file: give the same one, --decoys FILE")
    asked = tuple(dict.fromkeys(row.prompt for row in decoys))
    by_prompt = np.arange(len(decoys)).reshape(len(asked), sets, k)
    return RunRows(
        live,
        places,
        tuple(_of_set(decoys, by_prompt[:, place], k) for place in range(sets)),
        tuple(of_run[by_prompt[:, place]] for place in range(sets)),
        asked,
    )


def _of_set(decoys: list[Row], places: NDArray[np.intp], k: int) -> TokenRows:
    ids = [decoys[place].ids for place in places.ravel()]
    return TokenRows(ids, ((0, 0),) * k)
