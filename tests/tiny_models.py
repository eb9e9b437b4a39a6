"""A tiny model of every causal type that transformers ships, from its own default configuration made small.

Sizes are set by the names configurations give them, so a new architecture mostly needs no word here; what
one needs beside them stands in `BESIDE`, and why.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp
from torch import nn
from transformers import (
    CONFIG_MAPPING,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
)

from margin.capture.checkpoint import Checkpoint
from margin.capture.collect import collect
from margin.capture.loop import HALF_ERROR
from margin.demo import checkpoint_path, modes_path, prompts_path
from margin.errors import MarginError, words
from margin.inputs.chat import Chat
from margin.inputs.modes_file import load_modes
from margin.inputs.prompts import load_prompts
from margin.inputs.rows import build_rows
from margin.run.run import Run
from tests.margin.margin_oracle import relative

VOCABULARY = 2048
WIDTH, DEPTH, HEADS, GROUPS, HEAD = 64, 4, 4, 2, 16

SIZES: dict[str, int] = {
    **dict.fromkeys(("hidden_size", "d_model", "n_embd", "emb_dim", "embedding_size"), WIDTH),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers"), DEPTH),
    **dict.fromkeys(("encoder_layers", "num_encoder_layers", "num_decoder_layers", "num_blocks"), DEPTH),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "attention_heads"), HEADS),
    **dict.fromkeys(("decoder_attention_heads", "encoder_attention_heads"), HEADS),
    **dict.fromkeys(("num_encoder_attention_heads", "num_decoder_attention_heads"), HEADS),
    **dict.fromkeys(("num_key_value_heads", "num_kv_heads", "num_query_groups"), GROUPS),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "ffn_hidden_size", "n_inner", "dff", "dim_ff"), 96),
    **dict.fromkeys(("decoder_ffn_dim", "encoder_ffn_dim", "feed_forward_size"), 96),
    **dict.fromkeys(("moe_intermediate_size", "shared_expert_intermediate_size"), 32),
    **dict.fromkeys(("head_dim", "v_head_dim", "kv_channels", "dim_head", "attention_head_size"), HEAD),
    "vocab_size": VOCABULARY,
    **dict.fromkeys(("max_position_embeddings", "n_positions", "n_ctx", "model_max_length"), 512),
    **dict.fromkeys(("num_experts", "n_routed_experts", "num_local_experts", "moe_num_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "num_experts_per_token", "moe_k", "moe_topk"), 2),
    **dict.fromkeys(("n_group", "topk_group", "num_expert_group"), 1),
    **dict.fromkeys(("q_lora_rank", "kv_lora_rank"), 16),
    **dict.fromkeys(("qk_rope_head_dim", "qk_nope_head_dim"), 8),
    # Shorter than the prompts, so that what lies behind a window or a chunk is asked about.
    **dict.fromkeys(("sliding_window", "sliding_window_size", "attention_window_size", "window_size"), 16),
    **dict.fromkeys(("attention_chunk_size", "chunk_size", "mamba_chunk_size"), 16),
    # Fewer than there are tokens, so that a sparse indexer leaves some out.
    **dict.fromkeys(("index_topk", "index_topk_blocks", "index_block_size"), 4),
    "index_n_heads": 2,
    "index_head_dim": 16,
    **dict.fromkeys(("linear_num_heads", "linear_num_value_heads"), HEADS),
    "linear_num_key_heads": GROUPS,
    **dict.fromkeys(("linear_head_dim", "linear_key_head_dim", "linear_value_head_dim"), HEAD),
    "vocab_size_per_layer_input": VOCABULARY,
    "hidden_size_per_layer_input": 16,
    "image_size": 28,
    "patch_size": 14,
}
"""What configurations call their sizes."""
TOKENS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}

UNSET = {
    "head_dim",
    "num_key_value_heads",
    "n_routed_experts",
    "num_experts_per_tok",
    "n_group",
    "topk_group",
}
"""Sizes that are given also where the default leaves them open."""

LINEAR = [*["linear_attention"] * (DEPTH - 1), "full_attention"]
SHARED = ["linear_attention", "linear_attention", "hybrid", "linear_attention"]
SPARSE = {
    "indexer_n_heads": 2,
    "indexer_kv_heads": 1,
    "indexer_head_dim": HEAD,
    "indexer_budget": 8,
    "indexer_compress_ratio": 2,
}
BESIDE: dict[str, dict[str, Any]] = {
    "bailing_hybrid": {"layer_types": LINEAR},
    "bamba": {"mamba_n_heads": 8, "mamba_d_head": 16, "attn_layer_indices": [2]},
    "codegen": {"rotary_dim": 8},
    "cohere_compass_text": {
        "rope_parameters": {"full_attention": {"rope_type": "default", "rope_theta": 10_000.0}}
    },
    "dbrx": {"attn_config": {"rope_theta": 10_000.0, "kv_n_heads": GROUPS, "clip_qkv": 8.0}},
    "deepseek_v2": {"topk_method": "greedy", "first_k_dense_replace": 1},
    "dory": {"n_input_layers": 1, "n_output_layers": 1},
    "dots1": {"n_shared_experts": 1},
    "dots3_note_text": {
        **dict.fromkeys(("swa_num_attention_heads", "swa_num_key_value_heads"), HEADS),
        **dict.fromkeys(("swa_q_lora_rank", "swa_kv_lora_rank", "swa_head_dim", "swa_v_head_dim"), 16),
        **dict.fromkeys(("swa_qk_nope_head_dim", "swa_qk_rope_head_dim"), 8),
    },
    "falcon_h1": {"mamba_d_ssm": 64, "mamba_n_heads": 4, "mamba_d_head": 16},
    "gemma3n_text": {"intermediate_size": 96, "num_kv_shared_layers": 0},
    "gpt_neo": {"attention_types": [[["global", "local"], 2]]},
    "gptj": {"rotary_dim": 8},
    "granite": {"logits_scaling": 8.0},
    "granitemoehybrid": {"layer_types": LINEAR, "mamba_n_heads": 8, "mamba_d_head": 16},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "kimi_linear": {"layer_types": LINEAR},
    "lfm2_moe": {"layer_types": ["conv", "conv", "full_attention", "conv"], "num_dense_layers": 1},
    "longcat_flash": {"qk_head_dim": 16, "head_dim": 8, "expert_ffn_hidden_size": 32, "zero_expert_num": 2},
    "mamba2": {"num_heads": 8, "head_dim": 16},
    "reformer": {"is_decoder": True, "axial_pos_embds": False},
    "qwen4_exp": {"text_config": SPARSE},
    "qwen4_exp_text": SPARSE,
    "xlstm": {"hidden_size": 128},
    "xmod": {"default_language": "en_XX"},
    "zamba": {"layers_block_type": SHARED, "tie_word_embeddings": False},
    "zamba2": {"layers_block_type": SHARED},
    "zaya": {"num_experts_per_tok": 1},
}
"""What a type needs beside the sizes all share; of a part of a configuration under that part's name."""


def tiny_config(model_type: str) -> PreTrainedConfig:
    """The default configuration of a type with every size small."""
    return _shrunk(CONFIG_MAPPING[model_type], BESIDE.get(model_type, {}))


def _shrunk(kind: type[PreTrainedConfig], beside: dict[str, Any]) -> PreTrainedConfig:
    """A configuration by its class, its parts likewise."""
    default = kind()
    # What is made out of others is no field; given too, it would stand against them.
    stated = {name: vars(default).get(name) for name in _settings(kind)}
    sizes = {
        name: size
        for name, size in (SIZES | TOKENS).items()
        if name in stated
        and (type(stated[name]) is int or (stated[name] is None and name in UNSET | TOKENS.keys()))
    }
    if "kv_lora_rank" in sizes and "num_key_value_heads" in sizes:  # latent attention has no groups
        sizes["num_key_value_heads"] = HEADS
    parts = {
        name: _shrunk(type(part), beside.get(name, {}))
        for name in kind.sub_configs
        if isinstance(part := getattr(default, name, None), PreTrainedConfig)
    }
    return kind(**sizes | parts | {name: value for name, value in beside.items() if name not in parts})


def _settings(kind: type[PreTrainedConfig]) -> list[str]:
    """Names of what a configuration is made of: transformers before 5.4 has them in its `__init__` alone."""
    if dataclasses.is_dataclass(kind):
        return [field.name for field in dataclasses.fields(kind)]
    return list(inspect.signature(kind.__init__).parameters)


def tiny_model(model_type: str, seed: int = 0) -> PreTrainedModel:
    """A model of a type with seeded weights, large enough that every position attends to the others.

    At the size weights are commonly begun with (.02) attention hardly mixes positions, and an error there
    would not show.
    """
    config = tiny_config(model_type)
    torch.manual_seed(seed)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim >= 2 and (name.endswith("weight") or "expert" in name):
                weight.normal_(std=weight.shape[-1] ** -0.5)
        for module in model.modules():
            if isinstance(module, nn.Embedding):
                module.weight.normal_()
    return model


KINDS = {
    "equal": "The run is the plain forward pass: the error, and what is left out because it would change it.",
    "refused": "`margin collect` refuses it, in this line.",
    "not buildable": "A tiny one cannot be made here by transformers itself, or does not run: its own words.",
    "wrong": "A fault of margin's.",
}
RECURRENT = ("mamba", "mamba2", "falcon_mamba", "rwkv")
"""Types that report no embeddings: their first hidden state is block 1's output."""
TOLERANCE = 1e-4
"""Largest relative error that is rounding, in float32."""


@dataclass(frozen=True)
class Outcome:
    """What became of one type."""

    kind: str
    """One of `KINDS`."""
    words: str
    """The error's size, the refusal, or why not."""


def outcome_of(model_type: str) -> Outcome:
    """Collect a few prompts with a tiny model of a type, and compare with its own forward pass."""
    try:
        checkpoint = tiny_checkpoint(model_type)
        rows = rows_of(checkpoint)
        with torch.no_grad():
            checkpoint.model(input_ids=torch.tensor([rows[0]]))
    except Exception as error:  # noqa: BLE001 - whatever keeps transformers from making one is the outcome
        return Outcome("not buildable", words(error))
    refusal = ""
    for layers in ("all", "last", "none"):
        with TemporaryDirectory() as folder:
            try:
                run = collect_few(checkpoint, folder, layers)
            except MarginError as error:
                refusal = str(error)
                if "collect with layers" in refusal:
                    continue
                return Outcome("refused", refusal)
            except Exception as error:  # noqa: BLE001 - a traceback is the fault that is looked for
                return Outcome("wrong", f"{type(error).__name__}: {words(error)}")
            found = compare(run, checkpoint.model, rows)
        worst = max(found.values())
        said = f"{worst:.0e}" if worst <= TOLERANCE else str(found)
        left = [
            way
            for way in ("reuse_prefix", "pad", "together", "narrow")
            if not getattr(run.manifest.batching, way)
        ]
        beside = [f'with layers "{layers}": {refusal.split(": its layers")[0]}'] if layers != "all" else []
        said = "; ".join([said, *beside, *([f"without {', '.join(left)}"] if left else [])])
        return Outcome("equal" if worst <= TOLERANCE else "wrong", said)
    return Outcome("refused", refusal)


def tiny_checkpoint(model_type: str) -> Checkpoint:
    """A tiny model with the demonstration's tokenizer."""
    return Checkpoint(
        tiny_model(model_type), AutoTokenizer.from_pretrained(checkpoint_path("cotrained")), "tiny"
    )


def collect_few(checkpoint: Checkpoint, folder: str | Path, layers: str) -> Run:
    """A run of a few prompts under the demonstration's modes, in several batches."""
    return collect(
        checkpoint,
        prompts=few_prompts(),
        modes=modes_path(),
        out=folder,
        layers=layers,
        batch_tokens=300,
        save_logits=True,
        decoys=0,
        quiet=True,
    )


def rows_of(checkpoint: Checkpoint) -> list[Sequence[int]]:
    """Token ids of these rows, in the run's order."""
    chat = Chat(checkpoint.tokenizer)
    return [row.ids for row in build_rows(chat, load_prompts(few_prompts()), load_modes(modes_path()))]


def few_prompts() -> list[str]:
    """Six of the demonstration's prompts, short and long ones, in two languages."""
    lines = prompts_path().read_text(encoding="utf-8").splitlines()
    texts = sorted((json.loads(line)["prompt"] for line in lines), key=lambda text: (len(text), text))
    return [texts[place] for place in np.linspace(0, len(texts) - 1, 6).astype(int)]


def _makes(model: PreTrainedModel, states: torch.Tensor, logits: torch.Tensor) -> bool:
    """Whether these are the states the head sees: some architectures transform them once more before it."""
    with torch.no_grad():
        made = model.get_output_embeddings()(states)[0, -1]
    return bool(torch.corrcoef(torch.stack([made, logits[0, -1]]))[0, 1] > 0.999)


def compare(run: Run, model: PreTrainedModel, rows: Sequence[Sequence[int]]) -> dict[str, float]:
    """Largest relative error of a run's rows against the plain forward pass of each, by what is compared.

    Layers that a model reports in another form are not compared; half precision is allowed its rounding.
    """
    plain: dict[str, list[NDArray[np.float64]]] = {}
    depth = max(run.layers, default=0)
    first = model.config.model_type in RECURRENT
    for ids in rows:
        with torch.no_grad():
            tokens = torch.tensor([list(ids)])
            try:
                output = model(input_ids=tokens, output_hidden_states=True)
                reports = output.hidden_states
            except Exception:  # noqa: BLE001 - some cannot
                output, reports = model(input_ids=tokens), None
        plain.setdefault("logits", []).append(output.logits[0, -1].double().numpy())
        if (
            reports is None
            or len(reports) != model.config.get_text_config(decoder=True).num_hidden_layers + 1
        ):
            continue
        last = reports[-1]
        if last.shape == (*tokens.shape, run.states().shape[1]) and _makes(model, last, output.logits):
            plain.setdefault("state", []).append(last[0, -1].double().numpy())
        for layer in run.layers:
            report = reports[layer - first]
            if first <= layer < depth and report.shape == (*tokens.shape, run.layer(layer).shape[1]):
                plain.setdefault(f"layer.{layer}", []).append(report[0, -1].double().numpy())
    logits = np.stack(plain["logits"])
    kept, top = run.topk()
    errors = {
        "logits": relative(run.logits(), logits),
        "top-k": relative(top, np.take_along_axis(logits, kept.astype(np.int64), axis=1)),
        "logsumexp": relative(run.logsumexp()[:, None], logsumexp(logits, axis=1, keepdims=True)),
    }
    for name, expected in plain.items():
        if name.startswith("layer."):
            error = relative(run.layer(int(name.removeprefix("layer."))), np.stack(expected))
            errors[name] = error if error > HALF_ERROR else 0.0
        elif name == "state":
            found, wanted = run.states().astype(np.float64), np.stack(expected)
            # Some scale what they report before the head sees it.
            errors[name] = relative(found, wanted * np.vdot(found, wanted) / np.vdot(wanted, wanted))
    return errors
