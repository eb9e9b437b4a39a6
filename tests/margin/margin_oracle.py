"""What a run should hold, by the plainest means: transformers' own forward pass of one row at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from margin.inputs.modes import ModeSet

if TYPE_CHECKING:
    from margin.capture.checkpoint import Checkpoint

Array = np.ndarray[Any, Any]


def plain_forward(
    checkpoint: Checkpoint, prompts: Sequence[str], modes: ModeSet, layers: Sequence[int] = ()
) -> dict[str, Array]:
    """state (rows, d), logits (rows, V) and layer.L (rows, d), prompt by prompt and mode by mode.

    Recurrent models report no embeddings (their first hidden state is block 1's output): they get no layer.0.
    """
    import torch

    found: dict[str, list[Any]] = {}
    for prompt in prompts:
        for mode in modes.names:
            text = checkpoint.tokenizer.apply_chat_template(
                modes.messages(prompt, mode), tokenize=False, add_generation_prompt=True
            )
            ids = checkpoint.tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
            with torch.no_grad():
                body = checkpoint.model.base_model(ids).last_hidden_state
                output = checkpoint.model(ids, output_hidden_states=bool(layers))
            found.setdefault("state", []).append(body[0, -1])
            found.setdefault("logits", []).append(output.logits[0, -1])
            first = checkpoint.model.config.model_type in ("mamba", "mamba2", "rwkv")
            for layer in layers[first:]:
                found.setdefault(f"layer.{layer}", []).append(output.hidden_states[layer - first][0, -1])
    return {name: torch.stack(rows).float().numpy() for name, rows in found.items()}


def relative(found: Array, expected: Array) -> float:
    """Largest Euclidean error of a row, relative to the row."""
    found, expected = found.astype(np.float64), expected.astype(np.float64)
    return float((np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)).max())
