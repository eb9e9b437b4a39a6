"""A checkpoint: model, tokenizer and what tells it from any other."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from peft import PeftConfig, PeftModel, PromptLearningConfig
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.distributed.configuration_utils import DistributedConfig

from margin.capture.hub import cached, snapshot
from margin.capture.placement import whole_tensors
from margin.errors import MarginError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
SPREAD = ("auto", "tp")
"""Devices that are several: layers over all of them, or each layer over the ranks of a launch."""


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
    unread: str | None = None
    """What stands in place of the weights' digest, for a run that is not kept: reading all weights takes
    longer than measuring a few prompts. Two checkpoints with one name and one `unread` are taken for one."""

    @property
    def context(self) -> int | None:
        """Tokens the model was made to read, or None where it states no bound."""
        return getattr(self.model.config.get_text_config(decoder=True), "max_position_embeddings", None)

    def weights_digest(self) -> str:
        """SHA-256 over all weights and buffers: name, dtype, shape and bytes. Reads every weight once.

        `unread` where that is given.
        """
        if self.unread is not None:
            return self.unread
        digest = hashlib.sha256()
        for name, tensor in whole_tensors(self.model):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def tokenizer_digest(self) -> str:
        """SHA-256 over all that decides how text becomes ids."""
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        rules = backend.to_str() if backend is not None else sorted(self.tokenizer.get_vocab().items())
        special = {name: str(token) for name, token in self.tokenizer.special_tokens_map.items()}
        return hashlib.sha256(json.dumps([rules, special], sort_keys=True).encode()).hexdigest()

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """The model without dropout and gradients, and as it was afterwards."""
        training = [module for module in self.model.modules() if module.training]
        self.model.eval()
        try:
            with torch.inference_mode():
                yield
        finally:
            for module in training:
                module.training = True


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
    with the architecture, None for CUDA where there is one, else the CPU. MarginError where
    there is no checkpoint, where it has only pickled weights, or where the adapter is none that leaves the
    input alone.
    """
    kept: Path | None = None
    place, device = str(source), device or ("cuda" if torch.cuda.is_available() else "cpu")
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code, "revision": revision}
    path = Path(source)
    if path.is_file():
        if path.suffix != ".gguf":
            raise MarginError(f"{path} is no checkpoint: give a folder, a hub id or a .gguf file")
        place, options["gguf_file"] = str(path.parent), path.name
    elif path.is_dir():
        require_safetensors(path)
    elif path.is_absolute() or len(path.parts) > 2 or str(source).startswith("."):
        raise MarginError(f"{source}: no such file or folder")
    else:
        kept = cached(str(source), "config.json", revision)
        place = str(kept or source)
    if dtype != "auto" and dtype not in DTYPES:
        raise MarginError(f"unknown dtype {dtype!r}: take auto, {', '.join(DTYPES)}")
    require_device(device)
    on_cpu = device == "cpu" or (device in SPREAD and not torch.cuda.is_available())
    placed: dict[str, Any] = {"device_map": device}
    if device == "tp":
        placed = {"distributed_config": DistributedConfig(tp_plan="auto")}
    try:
        tokenizer = AutoTokenizer.from_pretrained(place, **options)
        if "gguf_file" not in options:
            options["config"] = AutoConfig.from_pretrained(place, **options)
        model: Any = AutoModelForCausalLM.from_pretrained(
            place,
            dtype=torch.float32 if dtype == "auto" and on_cpu else DTYPES.get(dtype, "auto"),
            **placed,
            **({} if "gguf_file" in options else {"use_safetensors": True}),
            **options,
        )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        raise MarginError(f"{source} cannot be loaded: {first_line(error)}") from error
    if model.config.is_encoder_decoder:
        raise MarginError(f"{source} is an encoder-decoder: margins are measured on decoder-only models")
    kept = None if path.exists() else snapshot(str(source), "config.json", revision)
    commit = kept.name if kept else None
    if adapter is not None:
        model = _with_adapter(model, str(adapter))
    return Checkpoint(
        model,
        tokenizer,
        name_of(source),
        adapter=None if adapter is None else name_of(adapter),
        revision=commit,
    )


def name_of(source: str | Path) -> str:
    """A hub id as it is, of a local path its last part: where it lies is nobody's business and may change."""
    path = Path(source)
    return path.resolve().name if path.exists() else str(source)


def _with_adapter(model: PreTrainedModel, adapter: str) -> PreTrainedModel:
    local = Path(adapter).exists() or Path(adapter).is_absolute() or len(Path(adapter).parts) > 2
    kept = None if local else cached(adapter, "adapter_config.json")
    try:
        config = PeftConfig.from_pretrained(str(kept or adapter))
        if isinstance(config, PromptLearningConfig):
            raise MarginError(f"{adapter} is no LoRA-like adapter: it changes the input, not the weights")
        return cast(
            PreTrainedModel,
            PeftModel.from_pretrained(model, str(kept or adapter), config=config).get_base_model(),
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise MarginError(f"adapter {adapter} cannot be loaded: {first_line(error)}") from error


def require_safetensors(folder: Path) -> None:
    """MarginError where a folder holds no checkpoint, or only pickled weights."""
    if not (folder / "config.json").is_file():
        raise MarginError(f"{folder} is no checkpoint: it has no config.json")
    if any(folder.glob("*.safetensors")):
        return
    if any(folder.glob("*.bin")) or any(folder.glob("*.pt")):
        raise MarginError(f"{folder} has only pickled weights, which can run code: save it as safetensors")
    raise MarginError(f"{folder} is no checkpoint: it has no weights (*.safetensors)")


def require_device(device: str) -> None:
    """MarginError where torch cannot use a device."""
    if device in SPREAD:
        return
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise MarginError(f"device {device!r} cannot be used: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    """First line of an error that says something, else its kind."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
