"""A checkpoint: model, tokenizer and what tells it from any other."""

from __future__ import annotations

import copy
import hashlib
import json
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase
from transformers.distributed.configuration_utils import DistributedConfig

from margin.capture.adapter import trained_on, with_adapter
from margin.capture.bounds import context_of, vocabulary_of
from margin.capture.digest import weights_digest
from margin.capture.evaluating import evaluating
from margin.capture.folder import has_tokenizer
from margin.capture.loading import Source, load_config, load_model, load_tokenizer, require_known
from margin.errors import MarginError, words
from margin.inputs.reading import read_text

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
SPREAD = ("auto", "tp")
"""Devices that are several: layers over all of them, or each layer over the ranks of a launch."""
TOKENIZER, TEMPLATE = "tokenizer", "chat template"


@dataclass(frozen=True)
class Checkpoint:
    """A loaded causal language model with its tokenizer."""

    model: PreTrainedModel = field(repr=False)
    """The model, on its device or devices; LoRA layers of an adapter stay in place."""
    tokenizer: PreTrainedTokenizerBase = field(repr=False)
    """Its tokenizer."""
    name: str
    """What it was loaded from: a hub id, or the last part of a local path."""
    adapter: str | None = None
    """Hub id of the adapter or the last part of its local path, if any."""
    revision: str | None = None
    """Commit on the hub it was loaded from, if any."""
    adapters_own: tuple[str, ...] = ()
    """What of tokenizer and chat template came with the adapter."""
    adapters_base: str | None = None
    """The model that the adapter says it was trained on, if any."""
    weights_label: str | None = None
    """What stands in place of the weights' digest, for a run that is not kept: reading all weights takes
    longer than measuring a few prompts. Two checkpoints with one name and one label are taken for one."""

    @property
    def tokenizer_from(self) -> Literal["model", "adapter"]:
        """Whose tokenizer or chat template it has: an adapter's, where one of them came with it."""
        return "adapter" if self.adapters_own else "model"

    @property
    def context(self) -> int | None:
        """Tokens the model was made to read, or None where it states no bound."""
        return context_of(self.model.config)

    @property
    def vocabulary(self) -> int:
        """Number of tokens the model has an embedding for: ids are below it."""
        return vocabulary_of(self.model)

    def weights_digest(self) -> str:
        """`weights_label` where that is given, else a digest of all weights (`margin.capture.digest`)."""
        return weights_digest(self.model) if self.weights_label is None else self.weights_label

    def tokenizer_digest(self) -> str:
        """SHA-256 over all that decides how text becomes ids.

        Not over padding and truncation: a tokenizer keeps those of its latest call, and sets them anew.
        """
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        rules = _rules(backend) if backend is not None else sorted(self.tokenizer.get_vocab().items())
        special = {name: str(token) for name, token in self.tokenizer.special_tokens_map.items()}
        return hashlib.sha256(json.dumps([rules, special], sort_keys=True).encode()).hexdigest()

    def evaluating(self) -> AbstractContextManager[None]:
        """The model without dropout and gradients, and as it was afterwards."""
        return evaluating(self.model)


def _rules(backend: Any) -> str:
    """A fast tokenizer's rules as text; it is left as it was."""
    padding, truncation = backend.padding, backend.truncation
    try:
        backend.no_padding()
        backend.no_truncation()
        rules: str = backend.to_str()
        return rules
    finally:
        if padding is not None:
            backend.enable_padding(**padding)
        if truncation is not None:
            backend.enable_truncation(**truncation)


def load_checkpoint(
    source: str | Path,
    *,
    adapter: str | Path | None = None,
    dtype: str = "auto",
    device: str | None = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
) -> Checkpoint:
    """Load a local folder, a hub id or a GGUF file (its weights are then dequantised), safetensors only.

    `dtype` is "float32", "bfloat16", "float16" or "auto": float32 on the CPU, which is no faster in less, and
    as saved elsewhere. `device` as torch names it, "auto" to spread the layers of a large model over all
    devices, host memory and disk, "tp" to split every layer over the ranks of a launch by the plan that comes
    with the architecture, None for CUDA where there is one, else the CPU. The tokenizer and the template are
    an `adapter`'s where it came with its own.

    MarginError where there is no checkpoint, or only pickled weights; where weights of the model are not in
    the file, or some of the file not in the model; where the adapter is not all there, or none that leaves
    the input alone; where its tokenizer has more tokens than the model.
    """
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if dtype != "auto" and dtype not in DTYPES:
        raise MarginError(f"unknown dtype {dtype!r}: take auto, {', '.join(DTYPES)}")
    require_device(device)
    on_cpu = device == "cpu" or (device in SPREAD and not torch.cuda.is_available())
    placed: dict[str, Any] = {"device_map": device}
    if device == "tp":
        placed = {"distributed_config": DistributedConfig(tp_plan="auto")}
    where = Source.of_checkpoint(source, revision)
    patch = None if adapter is None else Source.of_adapter(adapter)
    config = load_config(where, trust_remote_code)
    require_known(AutoModelForCausalLM, where, config, "causal language model")
    tokenizer = load_tokenizer(where, config, trust_remote_code)
    model = load_model(
        AutoModelForCausalLM,
        where,
        config,
        trust_remote_code,
        dtype=torch.float32 if dtype == "auto" and on_cpu else DTYPES.get(dtype, "auto"),
        **placed,
    )
    if model.config.is_encoder_decoder:
        raise MarginError(f"{source} is an encoder-decoder: margins are measured on decoder-only models")
    base: str | None = None
    adapters_own: tuple[str, ...] = ()
    if patch is not None:
        base = trained_on(patch.folder)
        model = with_adapter(model, patch.folder, patch.given)
        tokenizer, adapters_own = adapters_tokenizer(patch, model, tokenizer, trust_remote_code)
    return Checkpoint(
        model,
        tokenizer,
        where.name,
        adapter=None if patch is None else patch.name,
        revision=where.commit,
        adapters_own=adapters_own,
        adapters_base=base,
    )


def adapters_tokenizer(
    adapter: Source, model: PreTrainedModel, models_own: PreTrainedTokenizerBase, trust_remote_code: bool
) -> tuple[PreTrainedTokenizerBase, tuple[str, ...]]:
    """The tokenizer with its template, the model's in place of what did not come with an adapter; what did.

    An empty template is none. MarginError where the tokenizer has tokens the (adapted) model has no row for.
    """
    template = adapter.folder / "chat_template.jinja"
    if not has_tokenizer(adapter.folder):
        text = read_text(template, "chat template") if template.is_file() else ""
        if not text.strip():
            return models_own, ()
        tokenizer = copy.copy(models_own)
        tokenizer.chat_template = text
        return tokenizer, (TEMPLATE,)
    tokenizer = load_tokenizer(adapter, model.config, trust_remote_code)
    own = (TOKENIZER, TEMPLATE) if tokenizer.chat_template else (TOKENIZER,)
    tokenizer.chat_template = tokenizer.chat_template or models_own.chat_template
    tokens, rows = max(tokenizer.get_vocab().values(), default=-1) + 1, vocabulary_of(model)
    if tokens > rows:
        raise MarginError(
            f"the tokenizer that came with adapter {adapter.given} has {tokens} tokens, the model's "
            f"embeddings have {rows} rows: save the adapter with its embeddings, or without its tokenizer"
        )
    return tokenizer, own


def require_device(device: str) -> None:
    """MarginError where torch cannot use a device."""
    if device in SPREAD:
        return
    if str(device).startswith("meta"):
        raise MarginError(f"device {device!r} cannot be used: it holds no numbers")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise MarginError(f"device {device!r} cannot be used: {words(error)}") from error
