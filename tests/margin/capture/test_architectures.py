"""Whatever the architecture, a run holds what the plain forward pass of one row gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers
from margin_oracle import plain_forward, relative
from scipy.spatial.distance import cdist
from scipy.special import logsumexp

from margin.capture.checkpoint import Checkpoint
from margin.capture.collect import collect
from margin.inputs.modes import ModeSet

WINDOW = {"sliding_window": 16}
GEMMA = {"head_dim": 8, "query_pre_attn_scalar": 8, **WINDOW}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32, "head_dim": 8}

# What a tiny one of each needs beside the sizes all share.
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "Llama": {},
    "Mistral": WINDOW,
    "Qwen2": {},
    "Qwen3": {"head_dim": 8},
    "Gemma2": {"final_logit_softcapping": 5.0, **GEMMA},
    "Gemma3Text": GEMMA,
    "GPT2": {"n_positions": 512},
    "GPTNeoX": {},
    "GPTJ": {"n_positions": 512, "rotary_dim": 4},
    "OPT": {"ffn_dim": 64, "word_embed_proj_dim": 16},
    "Bloom": {},
    "Phi": {"num_key_value_heads": 4},
    "Phi3": {},
    "Cohere": {"logit_scale": 0.0625},
    "Cohere2": {"logit_scale": 0.0625, **WINDOW},
    "Granite": {"logits_scaling": 8.0},
    "Falcon": {},
    "StableLm": {},
    "Olmo2": {},
    "Mixtral": {"num_local_experts": 4},
    "Qwen3Moe": EXPERTS,
    "Mamba": {"state_size": 4},
    "Mamba2": {"state_size": 8, "num_heads": 8, "head_dim": 8, "n_groups": 1, "chunk_size": 8},
    "RecurrentGemma": {"num_key_value_heads": 1, "attention_window_size": 16, "lru_width": 32},
    "FalconH1": {
        "mamba_d_ssm": 32,
        "mamba_n_heads": 4,
        "mamba_d_head": 8,
        "mamba_d_state": 8,
        "mamba_chunk_size": 8,
    },
    "Jamba": {
        "pad_token_id": 0,
        "num_experts": 2,
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "mamba_d_state": 4,
    },
    "Rwkv": {"attention_hidden_size": 32, "context_length": 512},
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_run_equals_the_plain_forward_pass(
    name: str,
    small: dict[str, Any],
    make_checkpoint: Callable[..., Checkpoint],
    prompts: list[str],
    modes: ModeSet,
    tmp_path: Path,
) -> None:
    checkpoint = make_checkpoint(getattr(transformers, f"{name}Config")(**small | ARCHITECTURES[name]))
    run = collect(
        checkpoint,
        prompts=prompts,
        modes=modes,
        out=tmp_path / "run",
        layers="0,1",
        batch_tokens=900,
        quiet=True,
    )
    plain = plain_forward(checkpoint, prompts, modes, layers=(0, 1))

    assert relative(run.states(), plain["state"]) < 1e-4
    ids, top = run.topk()
    assert relative(top, np.take_along_axis(plain["logits"], ids.astype(np.int64), axis=1)) < 1e-4
    assert relative(run.logsumexp()[:, None], logsumexp(plain["logits"], axis=1, keepdims=True)) < 1e-4
    for layer in run.layers:
        if f"layer.{layer}" in plain:
            assert relative(run.layer(layer), plain[f"layer.{layer}"]) < 1e-4
    gram = run.logit_geometry().gram("logits")
    norms = np.diag(gram)
    found = np.sqrt(np.maximum(norms[:, None] + norms - 2 * gram, 0))
    assert np.allclose(found, cdist(plain["logits"], plain["logits"]), rtol=1e-3, atol=1e-3 * found.max())
