"""Trains tiny models that are sharded over the ranks of a launch, with the callback and without.

`torchrun --nproc-per-node=2 -m tests.margin.sharded_training FOLDER WHAT`: each rank writes what became of
each training into WHAT-RANK.json of the folder, and the first what each model was when it was measured.
"""

from __future__ import annotations

import json
import random
import sys
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from accelerate import FullyShardedDataParallelPlugin
from accelerate.utils import DistributedType
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict
from torch.distributed.fsdp import CPUOffloadPolicy, FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    default_data_collator,
)
from transformers.distributed.configuration_utils import DistributedConfig

from margin.errors import MarginError
from margin.inputs.modes_file import load_modes
from margin.training import MarginCallback

STEPS, EVERY = 4, 2
LATER = {"eval_strategy": "steps", "eval_steps": EVERY}
AT_EVALUATIONS = {"bf16": True, **LATER}
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "lora": AT_EVALUATIONS,
    "own": {"bf16": True, "gradient_accumulation_steps": 2, "fsdp_config": {"auto_wrap_policy": "NO_WRAP"}},
    "wrapped": {"fsdp_config": {"activation_checkpointing": True}, "torch_compile_backend": "eager"},
    "loaded": {},
}
"""Kinds of models and of sharding them by FSDP2, each with what its Trainer is told."""
ZERO3: dict[str, dict[str, Any]] = {
    f"zero3-{name}": {
        "deepspeed": {
            "zero_optimization": {"stage": 3, "stage3_param_persistence_threshold": below},
            "zero_allow_untested_optimizer": True,
            "zero_force_ds_cpu_optimizer": False,
            "train_micro_batch_size_per_gpu": 2,
        },
        **settings,
    }
    for name, below, settings in [("all", 0, {}), ("large", 40, {}), ("lora", 40, LATER)]
}
"""The same of DeepSpeed's ZeRO-3: all weights sharded, or the small ones left whole."""


def bare_model(kind: str, folder: Path) -> Any:
    """The model of a kind as one process has it, before it is sharded."""
    model = AutoModelForCausalLM.from_pretrained(
        folder / "model", attention_dropout=0.2, tie_word_embeddings=kind == "own"
    )
    if "lora" not in kind:
        return model
    torch.manual_seed(1)
    lora = LoraConfig(r=4, lora_dropout=0.2, target_modules="all-linear", init_lora_weights=False)
    return get_peft_model(model, lora)


def sharded_model(kind: str, folder: Path) -> Any:
    """The model as a user gives it to the Trainer, which shards the rest of them."""
    if kind == "loaded":
        spread = DistributedConfig(fsdp_size=2)
        return AutoModelForCausalLM.from_pretrained(
            folder / "model", attention_dropout=0.2, distributed_config=spread
        )
    model = bare_model(kind, folder)
    if kind == "own":
        policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16)
        for part in (*model.model.layers, model):
            fully_shard(part, mp_policy=policy, offload_policy=CPUOffloadPolicy(pin_memory=False))
    return model


def trainer_of(kind: str, folder: Path) -> Trainer:
    torch.manual_seed(0), random.seed(0), np.random.seed(0)  # noqa: NPY002 - the global one is meant
    arguments = {"fsdp": kind in KINDS and kind != "loaded", **(KINDS | ZERO3)[kind]}
    if arguments["fsdp"]:
        arguments["fsdp_config"] = {"version": 2, **arguments.get("fsdp_config", {})}
    tokens = np.random.default_rng(0).integers(0, 250, (16, 12)).tolist()
    rows = [{"input_ids": ids, "labels": ids} for ids in tokens]
    told = TrainingArguments(
        str(folder / "out"),
        use_cpu=True,
        report_to="none",
        disable_tqdm=True,
        per_device_train_batch_size=2,
        max_steps=STEPS,
        logging_steps=1,
        learning_rate=1e-2,
        save_strategy="no",
        **arguments,
    )
    trainer = Trainer(
        sharded_model(kind, folder),
        told,
        data_collator=default_data_collator,
        train_dataset=rows,
        eval_dataset=rows[:4],
        processing_class=AutoTokenizer.from_pretrained(folder / "model"),
    )
    if kind in ZERO3:
        return trainer
    # accelerate shards on accelerators alone: on CPUs it is told of the plugin once it has looked.
    state: Any = trainer.accelerator.state
    state.distributed_type = DistributedType.FSDP if told.fsdp else DistributedType.MULTI_CPU
    state.fsdp_plugin = None
    if told.fsdp:
        state.fsdp_plugin = FullyShardedDataParallelPlugin(**told.fsdp_plugin_args)
        if told.bf16:
            state.fsdp_plugin.set_mixed_precision("bf16")
    trainer.is_fsdp_enabled = bool(told.fsdp)
    return trainer


def weights_at(folder: Path, kind: str, step: int) -> Path:
    """Where the weights of a training lie that it had at a step."""
    return folder / f"{kind}-{step}.safetensors"


class Saved(TrainerCallback):
    """Keeps what a checkpoint would hold, gathered by torch or DeepSpeed, at every measured step."""

    def __init__(self, trainer: Trainer, folder: Path, kind: str) -> None:
        self.trainer, self.folder, self.kind = trainer, folder, kind

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        if state.global_step % EVERY == 0:
            whole = StateDictOptions(full_state_dict=True, cpu_offload=True)
            engine: Any = self.trainer.model_wrapped
            weights: Any = (
                engine._zero3_consolidated_16bit_state_dict()
                if self.kind in ZERO3
                else get_model_state_dict(model, options=whole)
            )
            if state.is_world_process_zero:
                named = {name.replace("_orig_mod.", ""): weight.clone() for name, weight in weights.items()}
                save_file(named, weights_at(self.folder, self.kind, state.global_step))


def local(tensor: Any) -> bytes:
    """What this rank holds of a weight or a moment."""
    tensor = getattr(tensor, "ds_tensor", tensor)
    return (tensor.to_local() if isinstance(tensor, DTensor) else tensor).detach().numpy().tobytes()


def end_of(trainer: Trainer) -> dict[str, Any]:
    """All that a training leaves behind on this rank, the random streams' next numbers among it."""
    model: Any = trainer.model
    optimizer: Any = trainer.optimizer
    held = sha256()
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()  # an evaluation leaves some weights whole
    for weight in model.parameters():
        held.update(local(weight))
        for moment in optimizer.state.get(weight, {}).values():
            held.update(local(moment))
    return {
        "losses": [entry["loss"] for entry in trainer.state.log_history if "loss" in entry],
        "evaluated": [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry],
        "norms": [entry["grad_norm"] for entry in trainer.state.log_history if "grad_norm" in entry],
        "held": held.hexdigest(),
        "training": [name for name, module in model.named_modules() if module.training],
        "kinds": [type(module).__name__ for module in model.modules()],
        "hooks": [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()],
        "drawn": [torch.rand(1).item(), random.random(), np.random.rand()],  # noqa: NPY002
    }


def train(kind: str, folder: Path, watched: bool = False, saved: bool = False) -> dict[str, Any]:
    trainer = trainer_of(kind, folder)
    if saved:
        trainer.add_callback(Saved(trainer, folder, kind))
    if watched:
        trainer.add_callback(
            MarginCallback(
                trainer,
                prompts=folder / "prompts.jsonl",
                modes=load_modes(folder / "modes.toml"),
                every=None if "eval_strategy" in (KINDS | ZERO3)[kind] else EVERY,
                controls=["random"],
            )
        )
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", UserWarning)
        trainer.train()
    margins = {entry["step"]: entry for entry in trainer.state.log_history if "eval_sam" in entry}
    warned = [str(one.message) for one in said if "margin" in str(one.message)]
    return {"end": end_of(trainer), "margins": margins, "warned": warned}


def failing(rank: int, where: str, error: Exception | None = None, returns: Any = None) -> Any:
    """A patch of a function of the package that is done on one rank."""
    if torch.distributed.get_rank() != rank:
        return nullcontext()
    return patch(where, side_effect=error, return_value=returns)


NO_ROOM = "the first has no room"
FAILURES: dict[str, Callable[[], Any]] = {
    NO_ROOM: lambda: failing(0, "margin.capture.sharded.free_memory", returns=1000),
    "the first cannot keep a weight": lambda: failing(0, "margin.capture.sharded._at", MemoryError("full")),
    "the first cannot measure": lambda: failing(0, "margin.training.collect", LookupError("no such thing")),
    "the second cannot begin": lambda: failing(1, "margin.capture.sharded._prepared", OSError("device lost")),
}


def refused_of_the_first_version(folder: Path) -> str:
    trainer = trainer_of("plain", folder)
    trainer.accelerator.state.fsdp_plugin.fsdp_version = 1
    try:
        MarginCallback(trainer, prompts=["a", "b"], modes=load_modes(folder / "modes.toml"), every=1)
    except MarginError as error:
        return str(error)
    return ""


def main(folder: Path, what: str) -> None:
    found: dict[str, Any] = {}
    if what != "failures":
        for kind in KINDS if what == "kinds" else ZERO3:
            alone = train(kind, folder)
            found[kind] = {"alone": alone, "together": train(kind, folder, watched=True, saved=True)}
    else:
        found["alone"] = train("plain", folder)
        for failure, happens in FAILURES.items():
            with happens():
                found[failure] = train("plain", folder, watched=True)
        found["version 1"] = refused_of_the_first_version(folder)
    (folder / f"{what}-{torch.distributed.get_rank()}.json").write_text(json.dumps(found))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
