"""What is kept of a training while it goes on, so that it may be killed and goes on where it was."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from margin.run.files import write_atomic

FIRST, SECOND = "exp_avg", "exp_avg_sq"
"""What AdamW keeps of each parameter, by its own names."""


class Progress:
    """The file in which a training by AdamW is kept every few steps.

    path : where it is, or is to be.
    of : what is trained, and how; a file that is of another training, or is damaged, is not gone on from.
    every : steps after which it is written again.
    """

    def __init__(self, path: Path, of: str, every: int = 50) -> None:
        self.path, self.of, self.every = path, of, every
        self.done = 0
        """Steps that are kept."""
        try:
            with safe_open(path, "pt") as file:
                kept = file.metadata() or {}
            self.done = int(kept["step"]) if kept.get("of") == of else 0
        except (OSError, SafetensorError):
            pass

    def resume(self, parameters: Mapping[str, torch.Tensor], optimiser: torch.optim.Optimizer) -> None:
        """Put parameters and optimiser where they were; of a training that was not begun they stay."""
        if not self.done:
            return
        state = {}
        with safe_open(self.path, "pt") as file, torch.no_grad():
            for place, (name, parameter) in enumerate(parameters.items()):
                parameter.copy_(file.get_tensor(name))
                moments = {of: file.get_tensor(f"{of} {name}") for of in (FIRST, SECOND)}
                state[place] = {"step": torch.tensor(float(self.done)), **moments}
        optimiser.load_state_dict({**optimiser.state_dict(), "state": state})

    def keep(
        self, step: int, parameters: Mapping[str, torch.Tensor], optimiser: torch.optim.Optimizer
    ) -> None:
        """Write what is there after a step, where it is due."""
        if step % self.every:
            return
        tensors = {}
        for name, parameter in parameters.items():
            tensors[name] = parameter.detach().cpu()
            for of in (FIRST, SECOND):
                tensors[f"{of} {name}"] = optimiser.state[parameter][of].cpu()
        write_atomic(self.path, save(tensors, {"of": self.of, "step": str(step)}))

    def forget(self) -> None:
        """Remove the file, once what came of the training is kept elsewhere."""
        self.path.unlink(missing_ok=True)
