"""What a Trainer is training, borrowed between two of its steps."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer

from margin.capture.evaluating import evaluating
from margin.capture.sharded import is_sharded
from margin.capture.wrapper import unwrapped
from margin.errors import MarginError

_NOT_GATHERED = ("tp", "cp", "sp", "pp", "ep")
"""What configurations call other ways to spread a model: tensors, contexts, sequences, stages, experts."""


def tokenizer_of(trainer: Trainer) -> PreTrainedTokenizerBase:
    """Its tokenizer, or that of its processor; MarginError where it has none."""
    processor: Any = trainer.processing_class
    tokenizer: PreTrainedTokenizerBase | None = getattr(processor, "tokenizer", processor)
    if tokenizer is None:
        raise MarginError("the Trainer has no tokenizer: give it one as processing_class")
    return tokenizer


def model_of(trainer: Trainer) -> PreTrainedModel:
    """The transformers model in training, with the layers of its adapter in place.

    MarginError where it is spread over processes in another way than by FSDP2 or ZeRO-3, where its adapter
    changes the input or acts outside the model's layers, or where it is of another kind. Costs two short
    forward passes of a model with adapters, which is left as it was; of one that is sharded they are run only
    where it is whole (`margin.capture.sharded`).
    """
    _require_gatherable(trainer)
    model: Any = getattr(trainer.model, "_orig_mod", trainer.model)  # which torch.compile puts a shell around
    if isinstance(model, PeftModel):
        inside: Any = model.get_base_model()
        if is_sharded(model):
            model = inside
        else:
            with evaluating(model), undisturbed(model), undisturbed(inside):
                model = unwrapped(model, "the adapter")
    if not isinstance(model, PreTrainedModel):
        raise MarginError(f"{type(model).__name__} is no transformers model: margins are measured on these")
    return model


def _require_gatherable(trainer: Trainer) -> None:
    instead = "measure its saved checkpoints with `margin sweep` instead"
    plugin = getattr(trainer.accelerator.state, "fsdp_plugin", None)
    if trainer.is_fsdp_enabled and getattr(plugin, "fsdp_version", 1) != 2:
        raise MarginError(
            f"the first FSDP spreads the model over processes: set version 2 in fsdp_config, or {instead}"
        )
    others = [getattr(trainer.accelerator, "parallelism_config", None)]
    if getattr(trainer, "is_distributed_loading_by_transformers", False):  # which older releases do not say
        others.append(getattr(getattr(trainer.model, "config", None), "distributed_config", None))
    sizes = [getattr(one, f"{way}_size", None) or 1 for one in others for way in _NOT_GATHERED]
    sizes.append(getattr(trainer.model, "tp_size", None) or 1)
    deepspeed: Any = getattr(getattr(trainer.args, "hf_deepspeed_config", None), "config", {})
    sizes.append(deepspeed.get("tensor_parallel", {}).get("autotp_size", 1))
    if max(sizes) > 1:
        raise MarginError(f"the model is spread over processes, and not by FSDP2 or ZeRO-3 alone: {instead}")


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """The model by its own forward, and afterwards it and all random streams as they were.

    For mixed precision accelerate puts another forward before the model's: autocast, then float32 logits,
    which are no longer those that the head makes of the final state.
    """
    own: Any = vars(model).get("_original_forward")
    forward: Any = vars(model).get("forward")
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - the global one, to give back
    cuda = {weight.device for weight in model.parameters() if weight.device.type == "cuda"}
    try:
        if own is not None:
            model.forward = own
        with torch.random.fork_rng(devices=list(cuda)):
            yield
    finally:
        if own is not None:
            model.forward = forward
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
