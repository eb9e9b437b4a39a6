"""The margin while a model trains: a callback for transformers' Trainer, and so for TRL's trainers.

trainer = Trainer(model, arguments, train_dataset=rows, processing_class=tokenizer)
trainer.add_callback(MarginCallback(trainer, prompts="prompts.jsonl", modes="modes.toml", every=100))
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import margin.capture  # noqa: F401 - before the libraries of its extra: it says which are missing

# isort: split
import pandas as pd
from accelerate.utils import broadcast_object_list
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState
from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from margin.analysis.early_stop import EarlyStop
from margin.arguments import named, require_folder, require_level
from margin.capture.checkpoint import Checkpoint
from margin.capture.collect import collect
from margin.capture.prepare import load_inputs, proved_rows
from margin.capture.ranks import Ranks
from margin.capture.sharded import assembled
from margin.capture.trainer import model_of, tokenizer_of, undisturbed
from margin.errors import MarginError
from margin.inputs.modes import ModeSet
from margin.inputs.options import CaptureOptions
from margin.inputs.prompts import PromptSet
from margin.study import training_log
from margin.study.spaces import clusters_in
from margin.study.training_log import SAM, Logs
from margin.text import shown, spelt

__all__ = ["EarlyStop", "MarginCallback"]

log = logging.getLogger(__name__)


@named
class MarginCallback(TrainerCallback):
    """Measures the margin of the model in training, and logs it to whatever its Trainer logs to.

    Logged are the leave-prompt-out SAM (cosine, logits) as eval_sam with eval_sam_low and eval_sam_high; for
    every control condition that may leak eval_leak_CONDITION with its upper bound eval_leak_CONDITION_high;
    and eval_sam_runtime, the seconds it took. At an evaluation of the Trainer they are among its metrics, so
    that `metric_for_best_model="eval_sam"` works.

    The model is left as it was: weights, gradients, train or eval mode, hooks, and the random streams of
    Python, NumPy and torch, so that training goes on as it would have without. A PEFT model is measured with
    its adapter, and weights in the precision they are kept in, not that of autocast.

    Where several processes train, the first measures, and the others wait for it: `ddp_timeout` must be
    longer. Of a model that FSDP2 (`fully_shard`) or DeepSpeed ZeRO-3 shards it gathers a whole copy, on its
    device or, where that has no room, on the host. A model spread in another way (the first FSDP, tensor
    parallelism) is refused: measure its checkpoints with `margin sweep`.

    Parameters
    ----------
    trainer : the Trainer this is then added to; its `processing_class` is the tokenizer.
    prompts, modes : as `margin.collect`; some 50 held-out prompts do.
    every : steps between measurements, the last step being one; None for each evaluation of the Trainer.
    stop : when training may end early, judged on all margins logged so far; it then saves as at its end.
    level : nominal coverage of the interval and the bounds.
    cluster : column of the prompts that names what hangs together; intervals and bounds are then over
        clusters, also those that `stop` goes by.
    decoys : sets of meaningless tokens, as `margin.collect` takes them; what the margin has above them is
        then logged as eval_sam_above_decoys, with its interval.
    keep : folder for the runs, as checkpoint-STEP; None to keep none. A run that is kept carries the digest
        of the weights, which reads them all.
    controls, draws, seed, batch_tokens, chat_kwargs, response_prefix, chat_template : as `margin.collect`.

    A measurement that fails while training runs, whatever the reason (the model answers NaN, memory or disk
    is short, a folder cannot be written, a fault of this library), warns and is not logged; training goes on.
    Where `metric_for_best_model` asks for it, it counts as NaN, which is never the best.

    Raises
    ------
    MarginError : bad prompts, clusters or modes, modes that do not reach the model
        (`margin.inputs.preflight`), a Trainer without a tokenizer, a model spread over processes by another
        way than FSDP2 or ZeRO-3, an adapter that changes the input.

    Cost: forward passes over prompts x (modes and controls), and a product over the head (V d^2, float64). A
    sharded model is gathered once for each measurement, and the first process needs memory for all of it.
    """

    def __init__(
        self,
        trainer: Trainer,
        *,
        prompts: str | Path | Sequence[str] | pd.DataFrame | PromptSet,
        modes: str | Path | ModeSet,
        every: int | None = None,
        stop: EarlyStop | None = None,
        level: float = 0.95,
        cluster: str | None = None,
        decoys: int | str | Path = 0,
        keep: str | Path | None = None,
        controls: Sequence[str] = (),
        draws: int = 1,
        seed: int = 0,
        batch_tokens: int = 1024,
        chat_kwargs: Mapping[str, Any] | None = None,
        response_prefix: str = "",
        chat_template: str | None = None,
    ) -> None:
        if not isinstance(trainer, Trainer):
            raise MarginError(f"trainer must be a Trainer of transformers, got {type(trainer).__name__}")
        if every is not None and (type(every) is not int or every < 1):
            raise MarginError(f"every {shown(every)} steps: take a whole number, at least 1")
        if stop is not None and not isinstance(stop, EarlyStop):
            raise MarginError(f"stop must be an EarlyStop, got {type(stop).__name__}")
        if keep is not None:
            require_folder(keep, "keep", "no run can be kept there")
        require_level(level)
        if every is None and trainer.args.eval_strategy == IntervalStrategy.NO:
            raise MarginError("this Trainer never evaluates: give every=N steps, or set its eval_strategy")
        self._trainer, self._every, self._stop = trainer, every, stop
        self._level, self._cluster, self._keep = level, cluster, None if keep is None else Path(keep)
        # A copy, since encoding changes a tokenizer's settings of padding and truncation.
        self._tokenizer = deepcopy(tokenizer_of(trainer))
        options: dict[str, Any] = {
            "controls": controls,
            "decoys": decoys,
            "draws": draws,
            "seed": seed,
            "batch_tokens": batch_tokens,
            "chat_kwargs": chat_kwargs,
            "response_prefix": response_prefix,
            "chat_template": chat_template,
            "layers": "none",
            "noise_prompts": 0,
            "quiet": True,
        }
        # As every measurement does it: what it would refuse is refused here, and not after a training.
        asked = CaptureOptions(**options)
        inputs = load_inputs(prompts, modes, asked, {"the path of keep": keep})
        self._modes = inputs.modes
        self._asked = options | {"prompts": inputs.prompts, "modes": inputs.modes, "ranks": Ranks()}
        clusters_in(inputs.prompts.table, cluster)  # refused here, and not at every measurement
        if len(inputs.prompts) < 2:
            raise MarginError("a margin needs at least two prompts, got one")
        proved_rows(self._checkpoint("the model in training"), inputs, asked)

    def on_train_begin(
        self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """Refuse another Trainer's callback, and a second of this kind, before the first step."""
        self._require_alone()
        return control

    def on_step_end(
        self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """Measure every so many steps, and after the last."""
        last = control.should_training_stop
        if self._every is not None and (state.global_step % self._every == 0 or last):
            self._measure(state, control)
        return control

    def on_evaluate(
        self,
        args: Any,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> TrainerControl:
        """Measure at an evaluation, once a step, and put what was measured among its metrics."""
        self._require_alone()
        found = None
        if self._trainer.is_in_train:  # outside of a training one step may see several models
            found = training_log.logged_at(state.log_history, state.global_step)
        if found is None and self._every is None:
            found = self._measure(state, control)
        if metrics is not None:
            metrics.update(training_log.as_metrics(found, args.metric_for_best_model, metrics))
        return control

    def _require_alone(self) -> None:
        """MarginError where another Trainer has this, or its own has two, of which one would take the other's
        reading for its own."""
        of_trainer = self._trainer.callback_handler.callbacks
        if self not in of_trainer:
            raise MarginError("a MarginCallback measures the Trainer it was made for: add it to that one")
        if sum(isinstance(one, MarginCallback) for one in of_trainer) > 1:
            raise MarginError(f"this Trainer has two MarginCallbacks, which both log {SAM}: add one")

    def _measure(self, state: TrainerState, control: TrainerControl) -> Logs | None:
        """Measure and log, and ask for the end of training where there is a reason."""
        found: Logs | None
        found, why_not = broadcast_object_list([self._readings(state)])[0]
        if found is None:
            training_log.warn(f"the margin was not measured at step {state.global_step}: {why_not}")
            return None
        wanted = control.should_log
        # Not the log of a subclass: TRL's would close its running averages of training metrics here.
        Trainer.log(self._trainer, dict(found))
        control.should_log = wanted  # which logging takes back: the loss may still be due at this step
        margins = training_log.logged_margins(state.log_history)
        if self._stop and self._trainer.is_in_train and (reason := self._stop.reason(margins)):
            training_log.warn(f"training stops at step {state.global_step}: {reason}")
            control.should_training_stop = True
            control.should_save |= self._trainer.args.save_strategy == SaveStrategy.STEPS
        return found

    def _readings(self, state: TrainerState) -> tuple[Logs | None, str]:
        """What the first process logs of the model as it is; None, and why, where it cannot be measured.

        Whatever stood in the way: the training is worth more than the reading, and the others wait for it.
        """
        first, started = state.is_world_process_zero, time.perf_counter()
        model: Any = self._trainer.model
        try:
            with assembled(model, first):
                found = self._measurement(f"checkpoint-{state.global_step}") if first else {}
            return found | {f"{SAM}_runtime": round(time.perf_counter() - started, 3)}, ""
        except BaseException as error:
            panic = type(error).__name__ == "PanicException"  # of a library in Rust, and no Exception
            if not (isinstance(error, Exception) or panic):
                raise
            if not isinstance(error, (MarginError, OSError, MemoryError)):
                log.warning("%s", spelt(self._modes.redact(traceback.format_exc())))
            return None, training_log.reason_without_tokens(error, self._modes)

    def _measurement(self, name: str) -> Logs:
        checkpoint = self._checkpoint(name)
        with ExitStack() as scratch:
            folder = self._keep or Path(
                scratch.enter_context(TemporaryDirectory(prefix="margin-", ignore_cleanup_errors=True))
            )
            with undisturbed(checkpoint.model):
                run = collect(checkpoint, out=folder / name, **self._asked)
            training_log.warn_where_undecided(run)
            return training_log.readings(run, self._level, self._cluster)

    def _checkpoint(self, name: str) -> Checkpoint:
        """The Trainer's model as it is now: a search over hyperparameters makes new ones."""
        model = model_of(self._trainer)
        return Checkpoint(model, self._tokenizer, name, weights_label=name if self._keep is None else None)
