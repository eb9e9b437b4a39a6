"""Collecting: from a checkpoint, prompts and modes to a run on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from margin.arguments import require_count, require_names, require_path
from margin.capture.checkpoint import Checkpoint, load_checkpoint
from margin.capture.fill import fill
from margin.capture.fitting import require_fitting
from margin.capture.identity import environment, identify
from margin.capture.layers import parse_layers
from margin.capture.loop import NotFiniteError
from margin.capture.placement import devices_of
from margin.capture.ranks import Ranks, join_ranks
from margin.capture.taps import n_layers
from margin.capture.unquoted import unquoted
from margin.errors import MarginError
from margin.inputs.attacks import load_attacks
from margin.inputs.chat import Chat
from margin.inputs.controls import Controls
from margin.inputs.modes import ModeSet, load_modes
from margin.inputs.preflight import check_names, preflight
from margin.inputs.prompts import Prompts, load_prompts
from margin.inputs.rows import build_control_rows, build_rows
from margin.run.filling import filling, make_run_folder
from margin.run.manifest import NAME, Manifest, read_manifest
from margin.run.run import Run
from margin.streams import say

NAMED = 10
"""Prompts an error names at most."""


def collect(
    model: str | Path | Checkpoint,
    *,
    prompts: Prompts,
    modes: str | Path | ModeSet,
    out: str | Path,
    adapter: str | Path | None = None,
    layers: str | Sequence[int] = "last",
    dtype: str = "auto",
    device: str | None = None,
    batch_tokens: int | Literal["auto"] = 1024,
    chat_kwargs: Mapping[str, Any] | None = None,
    response_prefix: str = "",
    chat_template: str | None = None,
    save_logits: bool = False,
    limit: int | None = None,
    controls: Sequence[str] = (),
    attacks: str | Path | None = None,
    draws: int = 1,
    seed: int = 0,
    top_k: int = 50,
    positions: int = 1,
    generate: int = 0,
    shard_rows: int = 256,
    noise_prompts: int = 8,
    trust_remote_code: bool = False,
    quiet: bool = False,
    ranks: Ranks | None = None,
) -> Run:
    """Run every prompt under every mode through a checkpoint, once, and keep what the margin is measured on.

    Kept at the last prompt position, where the first token of the response is predicted: the final state the
    head sees (float32), the states of `layers` ("none", "last", "all", "every:4", "0,8,-1" or a list; 0 the
    embeddings, L the output of block L), the `top_k` likeliest tokens and the logsumexp; full logits only
    with `save_logits`.

    `batch_tokens` bounds the tokens a batch holds; it decides speed and memory, and the numbers only by
    rounding. "auto" finds it by trying a few batches; where memory runs out it is halved, and no row lost.
    `noise_prompts` of the prompts are run again one by one, in float32 where memory allows, and in other
    batches: how far the margins of these differ is the run's noise floor (0: not measured).

    With `positions` above 1, the final state and logsumexp are kept at so many response positions, along the
    model's own greedy answer; a row whose answer ends sooner has fewer. `generate` keeps that answer as text,
    of at most so many tokens, without any live token in it (`Run.answers`). Both cost generating; positions
    also as many more tokens in the pass.

    Called again with the same arguments, a run that was interrupted or damaged is completed. It is refused,
    and the difference named, with other arguments, or where the model, its adapter, its template or a date in
    it are no longer the same, or where other versions of torch, transformers or peft would complete it.
    `model` may be a loaded `Checkpoint`, left as it was.

    `controls` (some of none, random, near-miss, user-turn, with `draws` tokens each) and `attacks` (a file of
    templates, or "shipped") add conditions beside the modes, see `margin.inputs.controls`. `seed` draws their
    tokens, and chooses prompts where products of all rows would be too many.

    Under `torchrun` or `accelerate launch` every process calls this with the same arguments and a folder all
    of them see; each runs its share of the shards, stretches of `shard_rows` rows, which depend on nothing
    else. Whichever process dies, the same command finishes the rest, on another number of them too. With
    `device` "tp" the processes together hold one model instead, and all run all rows. `ranks` names the
    processes that fill the folder where it is not all of the launch: `Ranks()` is this one alone.

    The folder is made readable by its owner only, and other processes are kept from filling it meanwhile.

    Raises MarginError for bad input and for a folder that another process is filling, IncomparableError for
    one that holds another run, UnwritableError where `out` cannot be written. Costs one forward pass a row,
    and a pass over the head: rows * vocabulary * width, and products of all pairs of at most 3,000 rows.

    Example
    -------
    >>> import margin
    >>> from margin.demo import checkpoint_path, modes_path, prompts_path
    >>> margin.collect(
    ...     checkpoint_path("cotrained"),
    ...     prompts=prompts_path(),
    ...     modes=modes_path(),
    ...     out="demo-run",
    ...     limit=40,
    ...     quiet=True,
    ... )
    Run('demo-run', rows=120, modes=['pos', 'neg', 'rej'])
    """
    require_path(out, "out")
    if not isinstance(model, Checkpoint):
        require_path(model, "model", " or a Checkpoint")
    if adapter is not None:
        require_path(adapter, "adapter")
    require_names(controls, "controls")
    if batch_tokens != "auto":
        require_count(batch_tokens, "batch_tokens", 1, ", or auto")
    if not isinstance(save_logits, bool):
        raise MarginError(f"save_logits must be true or false, got {save_logits!r}")
    if attacks:
        require_path(attacks, "attacks")
    for name, count, least in (
        ("positions", positions, 1),
        ("generate", generate, 0),
        ("draws", draws, 1),
        ("seed", seed, 0),
        ("top_k", top_k, 1),
        ("shard_rows", shard_rows, 1),
        ("noise_prompts", noise_prompts, 0),
    ):
        require_count(count, name, least)
    # NumPy's, too, which JSON has not got.
    top_k, seed, positions, generate, draws = map(int, (top_k, seed, positions, generate, draws))
    folder = Path(out)
    prompt_set = load_prompts(prompts)
    prompt_set = prompt_set if limit is None else prompt_set.limit(limit)
    mode_set = modes if isinstance(modes, ModeSet) else load_modes(modes)
    names = {
        "the name of the model": model.name if isinstance(model, Checkpoint) else model,
        "the name of the adapter": model.adapter if isinstance(model, Checkpoint) else adapter,
        "the path of the run": folder,
        "the path of the attacks": attacks,
    }
    check_names(mode_set, names)
    beside = Controls(tuple(controls), load_attacks(attacks) if attacks else (), draws, seed)
    make_run_folder(folder)
    ranks = join_ranks(device) if ranks is None else ranks
    if ranks.split and batch_tokens == "auto":
        raise MarginError("batch_tokens auto is found by each rank for itself: give a number with device tp")
    with filling(folder) if ranks.first else nullcontext():
        checkpoint = (
            model
            if isinstance(model, Checkpoint)
            else load_checkpoint(
                model,
                adapter=adapter,
                dtype=dtype,
                device=ranks.device or device,
                trust_remote_code=trust_remote_code,
            )
        )
        if checkpoint.tokenizer_from == "adapter" and ranks.first and not quiet:
            say("tokenizer and chat template are those that came with the adapter")
        chat = Chat(checkpoint.tokenizer, chat_kwargs or {}, response_prefix, chat_template)
        flight = preflight(chat, mode_set, prompt_set, checkpoint.context)
        rows = build_rows(chat, prompt_set, mode_set, checkpoint.context)
        rows += build_control_rows(chat, prompt_set, mode_set, beside, rows, checkpoint.context)
        require_fitting(checkpoint, rows, positions, generate)
        chosen = parse_layers(layers, n_layers(checkpoint.model))
        choices = {
            "layers": chosen,
            "top_k": top_k,
            "save_logits": save_logits,
            "controls": beside.identity(),
            "seed": seed,
            "positions": positions,
            "generate": generate,
        }
        manifest = Manifest(
            identity=identify(checkpoint, chat, flight, mode_set, prompt_set, rows, choices),
            environment=environment(devices_of(checkpoint.model))
            | {"tokenizer_from": checkpoint.tokenizer_from},
            tail=flight.tail,
            counts={"prompts": len(prompt_set), "modes": len(mode_set.names), "rows": len(rows)},
        )
        if (folder / NAME).exists():
            there = read_manifest(folder)
            there.require_same(manifest, folder)
            if there.unrecorded and not there.complete and ranks.first:
                say(
                    f"{folder} was begun by an earlier version, which did not record "
                    f"{', '.join(there.unrecorded)}: taken to be the same"
                )
            manifest = replace(manifest, identity=there.identity)  # what was not recorded stays so
        ranks.from_first(lambda: manifest).require_same(manifest, folder)
        try:
            with checkpoint.evaluating(), unquoted():
                return fill(
                    checkpoint,
                    manifest,
                    folder,
                    rows,
                    prompt_set,
                    mode_set,
                    batch_tokens,
                    shard_rows,
                    noise_prompts,
                    ranks,
                    quiet,
                )
        except NotFiniteError as error:
            broken = [f"{prompt_set.ids[rows[row].prompt]} ({rows[row].condition})" for row in error.rows]
            if len(broken) > NAMED:
                broken[NAMED:] = [f"and {len(broken) - NAMED} more"]
            raise MarginError(
                "the model answers NaN or infinity, so there is nothing to measure: prompts "
                + ", ".join(broken)
            ) from None
