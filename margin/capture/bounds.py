"""How many tokens a model knows, and how many it was made to read at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedConfig, PreTrainedModel

from margin.capture.zero3 import shape_of

STRETCHED = {"linear", "dynamic", "yarn", "longrope", "llama3"}
"""Rotary embeddings that read `factor` times the positions the model was trained on at first."""


def vocabulary_of(model: PreTrainedModel) -> int:
    """Number of tokens a model has an embedding for: ids are below it; as stated where they are no table."""
    weight: Any = getattr(model.get_input_embeddings(), "weight", None)
    stated = model.config.get_text_config(decoder=True).vocab_size
    return int(stated if weight is None else shape_of(weight)[0])


def context_of(config: PreTrainedConfig) -> int | None:
    """Tokens the decoder was made to read, or None where its configuration states no bound.

    That is `max_position_embeddings` (which GPT-2 and its like call n_positions), or more where the rotary
    embeddings are stretched: their `factor` times `original_max_position_embeddings`, or times the former
    where that is not given. So transformers defines the factor (`modeling_rope_utils`: with "linear" and
    "dynamic" the former is to be left as it was in training), and models in use write either the stretched
    length (Llama 3.1, Phi-3) or the one before it (Qwen2.5 with "yarn"). Rotary embeddings are computed, not
    looked up, so that a bound too high breaks nothing. Where kinds of layers differ the least counts.
    """
    text: Any = config.get_text_config(decoder=True)
    stated = getattr(text, "max_position_embeddings", None)
    if not isinstance(stated, int) or stated <= 0:
        return None
    rope = getattr(text, "rope_parameters", None)
    if not isinstance(rope, Mapping):
        return stated
    kinds = [kind for kind in rope.values() if isinstance(kind, Mapping)] or [rope]
    return min(_stretched(stated, kind) for kind in kinds)


def _stretched(stated: int, rope: Mapping[str, Any]) -> int:
    factor, original = rope.get("factor"), rope.get("original_max_position_embeddings")
    if rope.get("rope_type", rope.get("type")) not in STRETCHED or not isinstance(factor, int | float):
        return stated
    return max(stated, int(factor * (original if isinstance(original, int) else stated)))
