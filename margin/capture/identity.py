"""What a run is made from: its identity, compared on resuming, and its environment, only recorded."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence
from importlib.metadata import version

import torch

from margin.capture.answers import end_ids
from margin.capture.checkpoint import Checkpoint
from margin.capture.configuration import forward_pass
from margin.inputs.chat import Chat
from margin.inputs.modes import ModeSet
from margin.inputs.preflight import Preflight
from margin.inputs.prompts import PromptSet
from margin.inputs.rows import Row
from margin.run.records import Environment, Identity
from margin.run.stored import Record


def identify(
    checkpoint: Checkpoint,
    chat: Chat,
    rendered: Preflight,
    modes: ModeSet,
    prompts: PromptSet,
    rows: Sequence[Row],
    decided: Record,
) -> Identity:
    """Everything that decides the numbers of a run, tokens as 16-bit fingerprints only.

    `decided` is what the options decide of it. The token ids of the rows are never digested: a digest of them
    would let a short token be found by trying.
    """
    table = prompts.table.to_json(orient="split", index=False, force_ascii=False)
    config = checkpoint.model.config
    record = {
        "model": checkpoint.name,
        "revision": checkpoint.revision,
        "adapter": checkpoint.adapter,
        "weights": checkpoint.weights_digest(),
        "dtype": str(checkpoint.model.dtype).removeprefix("torch."),
        "attention": config._attn_implementation,
        **forward_pass(checkpoint.model, modes),
        "tokenizer": checkpoint.tokenizer_digest(),
        "chat_template": _digest(chat.template),
        "chat_kwargs": dict(chat.kwargs),
        "response_prefix": chat.response_prefix,
        "head": rendered.head,
        "tail": rendered.tail,
        "placement": modes.placement,
        "system": modes.system if modes.placement == "system" else modes.user_prefix,
        **({} if modes.secret else {"secret": False}),
        "modes": [
            {"name": mode.name, "safe": mode.safe, "fingerprint": mode.fingerprint}
            | (
                {"reworded": {kind: list(texts) for kind, texts in mode.reworded.items()}}
                if mode.reworded
                else {}
            )
            for mode in modes.modes
        ],
        "prompts": _digest(table),
        "conditions": list(dict.fromkeys(row.condition for row in rows)),
        "ends": end_ids(checkpoint) if decided["positions"] > 1 or decided["generate"] else [],
        **decided,
    }
    return Identity.model_validate(record)


def environment(devices: Sequence[torch.device], tokenizer_from: str) -> Environment:
    """Library versions, platform and devices, and whose tokenizer it is."""
    names = ("safety-margin", "torch", "transformers", "peft", "safetensors", "numpy")
    return Environment(
        versions={name: version(name) for name in names},
        python=platform.python_version(),
        platform=platform.platform(),
        device=", ".join(dict.fromkeys(map(_device_name, devices))),
        tokenizer_from=tokenizer_from,
    )


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
