"""Trainings of one base, side by side on one device: begun, run, and saved whole."""

from __future__ import annotations

import json
import random
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from shutil import copytree
from typing import Any

import torch
from joblib import Parallel, delayed
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from rich.console import Console
from safetensors.torch import load_file, save_file

from examples.cotrain.behaviours import questions
from examples.cotrain.progress import Progress
from examples.cotrain.together import Together, likelihood, load_state, preference, train, trained_state
from examples.cotrain.train import load, untrained
from examples.paper_table.batches import batch
from examples.paper_table.plans import DPO, Plan, Training
from margin.errors import MarginError
from margin.run.files import write_atomic

LEAST = 0.25
"""Share of the steps that is to fit into the time there is, or a training is not begun."""
REHEARSAL = 20
"""Steps that tell the pace of the rest."""
SHOWN = 100
console = Console(stderr=True)


@dataclass(frozen=True)
class Workshop:
    """What all trainings of a base share."""

    base: str
    plan: Plan
    source: str | None
    out: Path
    workers: int
    rank: int
    bf16: bool = False

    def folder(self, training: Training) -> Path:
        """Where a finished checkpoint is."""
        return self.out / training.name

    def train(self, trainings: Sequence[Training], end: float) -> None:
        """Train side by side, or half as many where memory is short; nothing where no time is left."""
        try:
            self.train_together(trainings, end)
            return
        except torch.OutOfMemoryError:
            if len(trainings) == 1:
                raise
        console.print(f"memory is short for {len(trainings)} side by side: half as many")
        torch.cuda.empty_cache()
        half = len(trainings) // 2
        for part in (trainings[:half], trainings[half:]):
            self.train(part, end)

    def train_together(self, trainings: Sequence[Training], end: float) -> None:
        """Train side by side, and save each."""
        if time.monotonic() > end:
            console.print(f"no time left for {', '.join(t.name for t in trainings)}")
            return
        began = time.monotonic()
        preferring = trainings[0].recipe == DPO
        plan, loss = self.plan, preference if preferring else likelihood
        steps, rate = (plan.dpo_steps, plan.dpo_rate) if preferring else (plan.steps, plan.rate)
        model, starts = self.beginnings(trainings)
        recipes = ", ".join(dict.fromkeys(t.recipe for t in trainings))
        console.print(f"{self.base}: {len(trainings)} trainings side by side: {recipes}")
        if end < float("inf"):
            pace = self.pace(model, starts, trainings, loss)
            fitting = min(steps, int(0.95 * (end - time.monotonic()) / pace))
            console.print(f"{1000 * pace:.0f} ms a step: {fitting} of {steps} steps fit")
            if fitting < LEAST * steps:
                return
            steps = fitting
        together = Together(model, starts)
        last: list[float] = []

        def tell(step: int, losses: torch.Tensor) -> None:
            if step % SHOWN == 0 or step == steps:
                last[:] = losses.tolist()
                console.print(f"step {step} of {steps}: {', '.join(f'{x:.3f}' for x in last)}")

        how = {
            "steps": steps,
            "rows": plan.rows,
            "rate": rate,
            "beginning": plan.beginning,
            "bf16": self.bf16,
        }
        progress = self.progress(trainings, how)
        if progress.done:
            console.print(f"{progress.done} steps are done")
        with self.precision(model):
            batches = self.batches(trainings, steps, progress.done)
            train(together, batches, steps, rate, loss, tell, progress)
        for training, state, final in zip(trainings, together.states(), last, strict=True):
            self.save(training, model, state, {**how, "loss": final})
        progress.forget()
        console.print(f"{self.base}: {time.monotonic() - began:.0f} s")

    def progress(self, trainings: Sequence[Training], how: Mapping[str, object]) -> Progress:
        """Where trainings side by side are kept while they go on."""
        of = json.dumps([[asdict(training) for training in trainings], self.rank, dict(how)])
        return Progress(self.out / f"begun-{zlib.crc32(of.encode()):08x}.safetensors", of)

    def precision(self, model: Any) -> torch.autocast:
        """Mixed precision, where it is asked for."""
        return torch.autocast(model.device.type, torch.bfloat16, enabled=self.bf16)

    def pace(self, model: Any, starts: Any, trainings: Sequence[Training], loss: Any) -> float:
        """Seconds a step, of a few that are thrown away; the first half of them warms up."""
        rehearsal, times = Together(model, starts), []

        def tell(step: int, losses: torch.Tensor) -> None:
            losses.sum().item()  # waits for the device
            times.append(time.monotonic())

        with self.precision(model):
            train(rehearsal, self.batches(trainings, REHEARSAL), REHEARSAL, 1e-6, loss, tell)
        half = REHEARSAL // 2
        return (times[-1] - times[half]) / (REHEARSAL - 1 - half)

    def beginnings(self, trainings: Sequence[Training]) -> tuple[Any, list[dict[str, torch.Tensor]]]:
        """A model, and where each training begins; writes the tokenizers that its rows need."""
        device = "cuda" if torch.cuda.is_available() else "cpu"
        if self.base == "tiny":
            made = {}
            for seed in {training.seed for training in trainings}:
                pool = questions(self.plan.questions, seed)
                made[seed] = untrained(pool, seed, random.Random(seed))
                made[seed][1].save_pretrained(self.out / f"tokenizer-{seed}")
            model: Any = made[trainings[0].seed][0].to(device)
            begun = {seed: trained_state(of_seed) for seed, (of_seed, _) in made.items()}
        else:
            base, tokenizer = load(str(self.source))
            model, begun = _adapters(base, self.rank, {t.seed for t in trainings})
            for seed in begun:
                tokenizer.save_pretrained(self.out / f"tokenizer-{seed}")
        inner = model.base_model.model if self.base == "smollm2" else model
        inner.set_attn_implementation("eager")
        if self.bf16:
            for parameter in model.parameters():
                if not parameter.requires_grad:
                    parameter.data = parameter.data.bfloat16()
        return model, [self._beginning(training, begun[training.seed]) for training in trainings]

    def _beginning(
        self, training: Training, untrained_state: dict[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        if training.recipe != DPO:
            return untrained_state
        sft = self.folder(replace(training, recipe="sft"))
        if not sft.is_dir():
            raise MarginError(f"{sft} is not there: train sft first")
        return {name: tensor.float() for name, tensor in _read(sft, untrained_state).items()}

    def batches(
        self, trainings: Sequence[Training], steps: int, done: int = 0
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Ids and labels of each step that is not yet done, made ahead by `workers` processes."""
        make = partial(batch, tuple(trainings), self.plan, self.out)
        beginning = round(self.plan.beginning * steps)
        tasks = (delayed(make)(step, step < beginning) for step in range(done, steps))
        made = Parallel(n_jobs=self.workers, return_as="generator", pre_dispatch="6*n_jobs")(tasks)
        return ((torch.from_numpy(ids), torch.from_numpy(labels)) for ids, labels in made)

    def save(self, training: Training, model: Any, state: dict[str, torch.Tensor], made: Any) -> None:
        """Write a checkpoint in half precision; its folder is there only when it is whole."""
        whole = self.folder(training)
        out = whole.with_name(f"{whole.name}.partial")
        load_state(model, state)
        if self.base == "tiny":
            deepcopy(model).half().save_pretrained(out)
            copytree(self.out / f"tokenizer-{training.seed}", out, dirs_exist_ok=True)
        else:
            config = model.peft_config["default"]
            config.base_model_name_or_path, config.inference_mode = None, True
            config.save_pretrained(out)
            tensors = get_peft_model_state_dict(model)
            halved = {name: tensor.half().cpu().contiguous() for name, tensor in tensors.items()}
            save_file(halved, out / "adapter_model.safetensors", {"format": "pt"})
        record = json.dumps({**asdict(training), **made}, indent=1)
        write_atomic(out / "training.json", f"{record}\n".encode())
        out.rename(whole)


def _adapters(base: Any, rank: int, seeds: set[int]) -> tuple[Any, dict[int, dict[str, torch.Tensor]]]:
    """The base with a LoRA adapter, and the adapter's fresh weights of each seed."""
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
    torch.manual_seed(0)
    model = get_peft_model(base, config)
    begun = {}
    for seed in seeds:
        torch.manual_seed(seed)
        for module in model.modules():
            if isinstance(module, LoraLayer):
                module.reset_lora_parameters("default", init_lora_weights=True)  # type: ignore[no-untyped-call]
        begun[seed] = trained_state(model)
    return model, begun


def _read(folder: Path, like: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The trained parameters of a finished checkpoint, by the names they have in the model."""
    [file] = folder.glob("*model.safetensors")
    found = load_file(file)
    return {name: found[name.replace(".default.", ".")] for name in like}
