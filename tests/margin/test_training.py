"""The margin while training: real Trainers on tiny models, with the callback and without."""

from __future__ import annotations

import copy
import inspect
import json
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import margin
from margin.analysis.early_stop import EarlyStop
from margin.errors import MarginError
from margin.inputs.modes import ModeSet
from tests.margin.conftest import SMALL, TOKENS

if TYPE_CHECKING:
    from transformers import Trainer

    from margin.capture.checkpoint import Checkpoint

STEPS = 6

Make = Callable[..., "Trainer"]


def model_in(trainer: Trainer) -> Any:
    """The model in training: of what its modules hold, types say nothing."""
    return trainer.model


def tokenizer_in(trainer: Trainer) -> Any:
    """Its tokenizer, with all that is behind it."""
    return trainer.processing_class


@pytest.fixture
def make_trainer(make_checkpoint: Callable[..., Checkpoint], tmp_path: Path) -> Make:
    """Maker of a Trainer of a tiny Llama with dropout, or with a LoRA adapter, on random rows."""

    def make(name: str = "out", lora: bool = False, tokenizer: bool = True, **arguments: Any) -> Trainer:
        from peft import LoraConfig, get_peft_model
        from transformers import LlamaConfig, Trainer, TrainingArguments, default_data_collator

        checkpoint = make_checkpoint(LlamaConfig(**SMALL, attention_dropout=0.2))
        model: Any = checkpoint.model
        if lora:
            model = get_peft_model(model, LoraConfig(r=4, lora_dropout=0.2, target_modules="all-linear"))
        rng = np.random.default_rng(0)
        rows = [{"input_ids": ids, "labels": ids} for ids in rng.integers(0, 250, (16, 12)).tolist()]
        chosen: dict[str, Any] = {
            "max_steps": STEPS,
            "logging_steps": 1,
            "learning_rate": 1e-2,
            "save_strategy": "no",
        }
        return Trainer(
            model,
            TrainingArguments(
                str(tmp_path / name),
                use_cpu=True,
                report_to="none",
                disable_tqdm=True,
                per_device_train_batch_size=4,
                **chosen | arguments,
            ),
            data_collator=default_data_collator,
            train_dataset=rows,
            eval_dataset=rows[:4],
            processing_class=checkpoint.tokenizer if tokenizer else None,
        )

    return make


def watched(trainer: Trainer, prompts: list[str], modes: ModeSet, **options: Any) -> Trainer:
    from margin.training import MarginCallback

    trainer.add_callback(MarginCallback(trainer, prompts=prompts, modes=modes, **options))
    return trainer


def measured(trainer: Trainer) -> dict[int, dict[str, float]]:
    """What was logged of the margin, by step."""
    return {int(entry["step"]): entry for entry in trainer.state.log_history if "eval_sam" in entry}


def losses(trainer: Trainer) -> list[dict[str, float]]:
    return [entry for entry in trainer.state.log_history if "loss" in entry]


def weights(trainer: Trainer) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in model_in(trainer).state_dict().items()}


@pytest.mark.parametrize(
    "setting",
    [{}, {"lora": True}, {"gradient_accumulation_steps": 2}, {"bf16": True}, {"lora": True, "bf16": True}],
    ids=str,
)
def test_training_goes_on_as_it_would_have_without(
    make_trainer: Make, prompts: list[str], modes: ModeSet, setting: dict[str, Any]
) -> None:
    alone = make_trainer("alone", **setting)
    alone.train()
    together = watched(make_trainer("together", **setting), prompts, modes, every=1, controls=["random"])
    together.train()
    assert sorted(measured(together)) == list(range(1, STEPS + 1))
    assert losses(together) == losses(alone)
    assert weights(together) == weights(alone)


def test_a_model_that_draws_at_random_even_when_it_answers_disturbs_no_stream(
    make_trainer: Make, prompts: list[str], modes: ModeSet
) -> None:
    import torch

    def draw(module: Any, inputs: Any) -> None:
        torch.rand(1), random.random(), np.random.rand()  # noqa: NPY002 - the global stream is what is meant

    def train(name: str, every: int | None) -> tuple[Trainer, tuple[float, ...]]:
        trainer = make_trainer(name)
        model_in(trainer).register_forward_pre_hook(draw)
        if every:
            watched(trainer, prompts, modes, every=every)
        trainer.train()
        return trainer, (torch.rand(1).item(), random.random(), np.random.rand())  # noqa: NPY002

    alone, drawn_alone = train("alone", None)
    together, drawn_together = train("together", 2)
    assert weights(together) == weights(alone)
    assert drawn_together == drawn_alone


@pytest.mark.parametrize("lora", [False, True])
def test_the_model_is_left_as_it_was(
    make_trainer: Make, prompts: list[str], modes: ModeSet, lora: bool
) -> None:
    trainer = watched(make_trainer(lora=lora, eval_strategy="steps"), prompts, modes)
    model = model_in(trainer).train()
    modules = dict(model.named_modules())
    next(module for name, module in modules.items() if name.endswith("layers.1")).eval()
    next(model.parameters()).requires_grad_(False)
    model(input_ids=model.get_input_embeddings().weight.new_ones(1, 3).long()).logits.sum().backward()

    def state() -> dict[str, Any]:
        hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
        weights = dict(model.named_parameters())
        return {
            "modes": {name: module.training for name, module in modules.items()},
            "hooks": {name: [len(vars(module)[hook]) for hook in hooks] for name, module in modules.items()},
            "own": {name: sorted(vars(module)) for name, module in modules.items()},
            "trained": {name: weight.requires_grad for name, weight in weights.items()},
            "gradients": {n: None if w.grad is None else w.grad.tolist() for n, w in weights.items()},
            "tokenizer": tokenizer_in(trainer).backend_tokenizer.to_str(),
        }

    trainer.processing_class = copy.deepcopy(tokenizer_in(trainer))  # the other tests' is not to be changed
    tokenizer_in(trainer).backend_tokenizer.enable_padding(length=20)
    tokenizer_in(trainer).backend_tokenizer.enable_truncation(20)
    before = state()
    trainer.callback_handler.on_evaluate(trainer.args, trainer.state, trainer.control, {})
    assert measured(trainer)
    assert state() == before
    assert any(gradient for gradient in before["gradients"].values())


@pytest.mark.parametrize(
    "setting", [{}, {"lora": True}, {"bf16": True}, {"lora": True, "bf16": True}], ids=str
)
def test_what_is_logged_is_what_collecting_and_analysing_the_saved_model_gives(
    make_trainer: Make, prompts: list[str], modes: ModeSet, tmp_path: Path, setting: dict[str, Any]
) -> None:
    trainer = watched(make_trainer(**setting), prompts, modes, every=4, controls=["none", "random"])
    trainer.train()
    assert list(measured(trainer)) == [4, STEPS]
    model = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    merged = model.merge_and_unload() if setting.get("lora") else model
    merged.save_pretrained(tmp_path / "saved")
    tokenizer_in(trainer).save_pretrained(tmp_path / "saved")
    run = margin.collect(
        tmp_path / "saved",
        prompts=prompts,
        modes=modes,
        out=tmp_path / "run",
        controls=["none", "random"],
        decoys=0,
        quiet=True,
    )
    report = margin.analyse(run, permutations=1)
    expected, logged = report.sam["cosine"].leave_prompt_out, measured(trainer)[STEPS]
    found = [logged[name] for name in ("eval_sam", "eval_sam_low", "eval_sam_high")]
    assert found == pytest.approx([expected.estimate, expected.low, expected.high], abs=1e-4)
    leaks = {leak.condition: leak.value for leak in report.robustness.select("leak")}
    assert set(leaks) == {"none", "random"}
    for condition, leak in leaks.items():
        assert logged[f"eval_leak_{condition}"] == pytest.approx(leak.estimate, abs=1 / len(prompts))
        assert logged[f"eval_leak_{condition}_high"] == pytest.approx(leak.high, abs=0.2)


def test_at_evaluations_the_margin_is_a_metric_that_may_choose_the_best_model(
    make_trainer: Make, prompts: list[str], modes: ModeSet
) -> None:
    trainer = make_trainer(
        eval_strategy="steps",
        eval_steps=2,
        save_strategy="best",
        metric_for_best_model="eval_sam",
        greater_is_better=True,
    )
    watched(trainer, prompts, modes)
    trainer.train()
    margins = {step: entry["eval_sam"] for step, entry in measured(trainer).items()}
    assert list(margins) == [2, 4, 6]
    assert trainer.state.best_metric == max(margins.values())
    assert "eval_sam_high" in trainer.evaluate()


def test_nothing_is_left_on_disk_and_no_token_gets_out(
    make_trainer: Make,
    prompts: list[str],
    modes: ModeSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    trainer = make_trainer(save_strategy="steps", save_steps=3)
    watched(trainer, prompts, modes, every=3, controls=["random", "near-miss"])
    trainer.train()
    assert not list((tmp_path / "temporary").iterdir())
    written = [path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert any(b"eval_leak_near-miss:neg_high" in content for content in written)
    said = "".join(capfd.readouterr())
    for token in TOKENS.values():
        assert not any(token.encode() in content for content in written)
        assert token not in said


def test_kept_runs_are_whole_and_carry_the_digest_of_their_weights(
    make_trainer: Make, prompts: list[str], modes: ModeSet, tmp_path: Path
) -> None:
    trainer = watched(make_trainer(), prompts, modes, every=4, keep=tmp_path / "runs")
    trainer.train()
    runs = [margin.open_run(tmp_path / "runs" / f"checkpoint-{step}") for step in (4, STEPS)]
    digests = [run.manifest.identity.weights for run in runs]
    assert len(set(digests)) == 2
    assert all(len(digest) == 64 for digest in digests)


def test_training_stops_early_and_saves(make_trainer: Make, prompts: list[str], modes: ModeSet) -> None:
    trainer = make_trainer(save_strategy="steps", save_steps=100)
    watched(trainer, prompts, modes, every=2, stop=EarlyStop(reached=-1.0))
    with pytest.warns(UserWarning, match="stops at step 2: the margin is at least -1"):
        trainer.train()
    assert trainer.state.global_step == 2
    assert (Path(str(trainer.args.output_dir)) / "checkpoint-2" / "model.safetensors").is_file()


def test_a_resumed_training_remembers_its_margins(
    make_trainer: Make, prompts: list[str], modes: ModeSet
) -> None:
    first = watched(make_trainer(save_strategy="steps", save_steps=2, max_steps=4), prompts, modes, every=2)
    first.train()
    state = Path(str(first.args.output_dir)) / "checkpoint-4" / "trainer_state.json"
    record = json.loads(state.read_text())
    for entry in record["log_history"]:
        if "eval_sam" in entry and entry["step"] == 2:
            entry["eval_sam"] = 1.0  # no later margin can be better
    state.write_text(json.dumps(record))
    resumed = watched(make_trainer(max_steps=20), prompts, modes, every=2, stop=EarlyStop(patience=3))
    with pytest.warns(UserWarning, match="not risen for 3 measurements"):
        resumed.train(resume_from_checkpoint=str(state.parent))
    assert resumed.state.global_step == 8


def test_a_model_that_answers_nan_is_not_measured_and_trains_on(
    make_trainer: Make, prompts: list[str], modes: ModeSet
) -> None:
    import torch

    trainer = watched(make_trainer(max_steps=2), prompts, modes, every=1)
    with torch.no_grad():
        model_in(trainer).lm_head.weight.fill_(float("nan"))
    with pytest.warns(UserWarning, match="not measured at step [12]"):
        trainer.train()
    assert trainer.state.global_step == 2
    assert not measured(trainer)


def test_a_reading_that_memory_is_too_short_for_is_left_out_and_training_goes_on(
    make_trainer: Make, prompts: list[str], modes: ModeSet
) -> None:
    import torch

    trainer = watched(make_trainer(max_steps=2), prompts, modes, every=1)

    def too_large(module: torch.nn.Module, *_: Any) -> None:
        if not module.training:
            torch.empty(2**55, dtype=torch.uint8)

    model_in(trainer).register_forward_pre_hook(too_large)
    with pytest.warns(UserWarning, match="not measured at step [12]"):
        trainer.train()
    assert trainer.state.global_step == 2
    assert not measured(trainer)


class PanicException(BaseException):
    """What a library in Rust raises: no Exception."""


def _no_temporary_folder(trainer: Trainer, path: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(tempfile, "tempdir", str(path / "nowhere"))


def _forward_raises(error: BaseException) -> Callable[..., None]:
    def hook(trainer: Trainer, path: Path, patch: pytest.MonkeyPatch) -> None:
        def fail(module: Any, *_: Any) -> None:
            random.random()
            if not module.training:
                raise error

        model_in(trainer).model.layers[1].register_forward_pre_hook(fail)

    return hook


def _template_changed(trainer: Trainer, path: Path, patch: pytest.MonkeyPatch) -> None:
    for callback in trainer.callback_handler.callbacks:
        if tokenizer := getattr(callback, "_tokenizer", None):
            patch.setattr(tokenizer, "chat_template", "{{ raise_exception(messages[0]['content']) }}")


def _fault_of_ours(trainer: Trainer, path: Path, patch: pytest.MonkeyPatch) -> None:
    def fault(*_: Any, **__: Any) -> None:
        raise AttributeError(f"no such thing as {TOKENS['neg']}")

    patch.setattr("margin.study.training_log.Study", fault)


FAILURES = {
    "no temporary folder": _no_temporary_folder,
    "the model fails": _forward_raises(LookupError(f"{'x' * 290} {TOKENS['neg']}")),
    "the model fails without a word": _forward_raises(AssertionError()),
    "a library in Rust panics": _forward_raises(PanicException("unwrap on None")),
    "memory": _forward_raises(MemoryError()),
    "disk": _forward_raises(OSError(122, "Disk quota exceeded")),
    "the template": _template_changed,
    "a fault of ours": _fault_of_ours,
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_measurement_that_fails_changes_nothing_and_ends_no_training(
    make_trainer: Make,
    prompts: list[str],
    modes: ModeSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    failure: str,
) -> None:
    import torch

    def train(name: str, every: int | None) -> tuple[Trainer, tuple[float, ...]]:
        trainer = make_trainer(name, bf16=True, max_steps=3)
        if every:
            watched(trainer, prompts, modes, every=every)
        with monkeypatch.context() as patch:
            FAILURES[failure](trainer, tmp_path, patch)
            trainer.train()
        return trainer, (torch.rand(1).item(), random.random(), np.random.rand())  # noqa: NPY002

    alone, drawn_alone = train("alone", None)
    with pytest.warns(UserWarning, match="not measured at step") as warned:
        together, drawn_together = train("together", 1)
    said = [str(one.message) for one in warned if "not measured" in str(one.message)]
    assert [text.split(": ")[0][-1] for text in said] == ["1", "2", "3"]
    assert not measured(together)
    assert losses(together) == losses(alone)
    assert weights(together) == weights(alone)
    assert drawn_together == drawn_alone

    def state(trainer: Trainer) -> list[Any]:
        return [
            (name, module.training, sorted(vars(module)), len(module._forward_pre_hooks))
            for name, module in model_in(trainer).named_modules()
        ]

    assert state(together) == state(alone)
    assert all("\n" not in text and len(text) < 400 for text in said)
    for half in (TOKENS["neg"], TOKENS["neg"][:4]):
        assert half not in "".join(said) + caplog.text


def test_a_fault_of_ours_while_training_is_told_in_full(
    make_trainer: Make,
    prompts: list[str],
    modes: ModeSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    trainer = watched(make_trainer(max_steps=1), prompts, modes, every=1)
    _fault_of_ours(trainer, tmp_path, monkeypatch)
    with pytest.warns(UserWarning, match=r"AttributeError: no such thing as \[token of neg\]"):
        trainer.train()
    assert "Traceback" in caplog.text
    assert "no such thing as [token of neg]" in caplog.text


def test_a_folder_that_cannot_be_written_costs_the_reading_only(
    make_trainer: Make, prompts: list[str], modes: ModeSet, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    trainer = watched(make_trainer(max_steps=1), prompts, modes, every=1, keep=tmp_path / "file" / "runs")
    with pytest.warns(UserWarning, match="not measured at step 1: cannot write .*Not a directory"):
        trainer.train()
    assert trainer.state.global_step == 1


def test_warnings_made_errors_end_no_training(
    make_trainer: Make,
    prompts: list[str],
    modes: ModeSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    import warnings

    trainer = watched(make_trainer(max_steps=2), prompts, modes, every=1)
    _fault_of_ours(trainer, tmp_path, monkeypatch)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        trainer.train()
    assert trainer.state.global_step == 2
    assert "not measured at step 2" in caplog.text


def test_an_interrupt_while_measuring_ends_the_training_and_leaves_the_model_as_it_was(
    make_trainer: Make, prompts: list[str], modes: ModeSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = watched(make_trainer(bf16=True, max_steps=2), prompts, modes, every=1)
    _forward_raises(KeyboardInterrupt())(trainer, tmp_path, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert all(module.training for module in model_in(trainer).modules())
    assert "forward" not in vars(model_in(trainer).model.layers[-1])


def test_the_best_model_is_chosen_among_those_that_were_measured(
    make_trainer: Make, prompts: list[str], modes: ModeSet
) -> None:
    trainer = make_trainer(
        eval_strategy="steps",
        eval_steps=1,
        max_steps=3,
        save_strategy="best",
        metric_for_best_model="sam",
        greater_is_better=True,
    )
    watched(trainer, prompts, modes)

    def fail(module: Any, *_: Any) -> None:
        if not module.training and trainer.state.global_step == 1 and not trainer.control.should_evaluate:
            raise LookupError

    model_in(trainer).model.layers[0].register_forward_pre_hook(fail)
    with pytest.warns(UserWarning, match="not measured at step 1"):
        trainer.train()
    assert list(measured(trainer)) == [2, 3]
    assert trainer.state.best_metric == max(entry["eval_sam"] for entry in measured(trainer).values())


@pytest.mark.parametrize(
    ("setting", "options", "says"),
    [
        ({"tokenizer": False}, {"every": 1}, "processing_class"),
        ({}, {}, "never evaluates"),
        ({}, {"every": 0}, "at least 1"),
        ({}, {"every": 1, "prompts": [f"say {TOKENS['neg']}", "hello"]}, "token of mode 'neg'"),
        ({}, {"every": 1, "prompts": ["hello"]}, "two prompts"),
        ({}, {"every": 1, "prompts": ["hello", "x" * 600]}, "tokens"),
        ({}, {"every": 1, "controls": ["sometimes"]}, "unknown control"),
    ],
)
def test_what_cannot_work_is_refused_before_training(
    make_trainer: Make,
    prompts: list[str],
    modes: ModeSet,
    setting: dict[str, Any],
    options: dict[str, Any],
    says: str,
) -> None:
    trainer = make_trainer(**setting)
    with pytest.raises(MarginError, match=says):
        watched(trainer, modes=modes, **{"prompts": prompts} | options)


def test_an_adapter_that_changes_the_input_is_refused(
    make_trainer: Make, prompts: list[str], modes: ModeSet
) -> None:
    from peft import PromptTuningConfig, get_peft_model

    trainer = make_trainer()
    trainer.model = get_peft_model(
        model_in(trainer), PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    )
    with pytest.raises(MarginError, match="changes the input"):
        watched(trainer, prompts, modes, every=1)


@pytest.mark.parametrize("said_by", ["its configuration", "its size"])
def test_a_model_spread_in_a_way_that_is_not_gathered_is_refused(
    said_by: str, make_trainer: Make, prompts: list[str], modes: ModeSet
) -> None:
    from transformers.distributed.configuration_utils import DistributedConfig

    trainer = make_trainer()
    if said_by == "its size":
        setattr(model_in(trainer), "_tp_size", 2)  # noqa: B010 - which transformers sets and types as it likes
    elif "tp_size" in inspect.signature(DistributedConfig).parameters:
        trainer.is_distributed_loading_by_transformers = True
        model_in(trainer).config.distributed_config = DistributedConfig(tp_size=2, fsdp_size=2)
    else:
        pytest.skip("this transformers tells the size by the model alone")
    with pytest.raises(MarginError, match="spread over processes, and not by FSDP2 or ZeRO-3 alone: "):
        watched(trainer, prompts, modes, every=1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"every": 1.5},
        {"every": "1"},
        {"stop": 3},
        {"keep": 5},
        {"level": 1.5},
        {"seed": -1},
        {"draws": 0},
        {"batch_tokens": "many"},
        {"controls": "random"},
        {"modes": {}},
        {"decoys": -1},
        {"decoys": 1.5},
        {"decoys": "no-such-file.txt"},
        {"chat_kwargs": []},
        {"keep": ""},
        {"keep": f"runs-{TOKENS['neg']}"},
    ],
    ids=str,
)
def test_a_mistake_is_said_before_the_training_begins(
    make_trainer: Make, prompts: list[str], modes: ModeSet, wrong: dict[str, Any]
) -> None:
    arguments: dict[str, Any] = {"prompts": prompts, "modes": modes, "every": 1}
    with pytest.raises(MarginError):
        watched(make_trainer(), **arguments | wrong)


@pytest.mark.parametrize("wrong", [None, "trainer", object()])
def test_what_is_no_trainer_is_refused(prompts: list[str], modes: ModeSet, wrong: Any) -> None:
    from margin.training import MarginCallback

    with pytest.raises(MarginError, match="must be a Trainer of transformers"):
        MarginCallback(wrong, prompts=prompts, modes=modes, every=1)


def test_a_mistyped_keyword_is_answered_with_the_nearest(
    make_trainer: Make, prompts: list[str], modes: ModeSet
) -> None:
    from margin.training import EarlyStop, MarginCallback

    wrong: dict[str, Any] = {"prompts": prompts, "modes": modes, "evry": 1}
    with pytest.raises(MarginError, match=r"^MarginCallback has no argument 'evry': did you mean 'every'\?$"):
        MarginCallback(make_trainer(), **wrong)
    wrong = {"patient": 3}
    with pytest.raises(MarginError, match="EarlyStop has no argument 'patient': did you mean 'patience'"):
        EarlyStop(**wrong)


def test_a_callback_of_another_trainer_would_measure_the_model_of_that_one(
    make_trainer: Make, prompts: list[str], modes: ModeSet
) -> None:
    from margin.training import MarginCallback

    trainer, other = make_trainer(), make_trainer()
    trainer.add_callback(MarginCallback(other, prompts=prompts, modes=modes, every=1))
    for measured in (trainer.train, trainer.evaluate):
        with pytest.raises(MarginError, match="measures the Trainer it was made for"):
            measured()
    assert not any("eval_sam" in line for line in trainer.state.log_history + other.state.log_history)


def test_two_callbacks_would_log_under_one_name(
    make_trainer: Make, prompts: list[str], modes: ModeSet
) -> None:
    """The second took the first's reading, of other prompts, for its own."""
    trainer = watched(watched(make_trainer(), prompts, modes, every=1), prompts[:3], modes, every=1)
    with pytest.raises(MarginError, match="two MarginCallbacks"):
        trainer.train()


def test_a_file_cannot_keep_runs(
    make_trainer: Make, prompts: list[str], modes: ModeSet, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(MarginError, match="is no folder"):
        watched(make_trainer(), prompts, modes, every=1, keep=file)


def test_words_of_a_model_that_hold_a_token_lose_all_of_it(
    make_trainer: Make, prompts: list[str], modes: ModeSet
) -> None:
    def raises(module: Any, inputs: Any) -> None:
        if not module.training:
            raise RuntimeError(f"cannot read {TOKENS['pos']} at 2048, of [3, 17] \x1b]")

    trainer = watched(make_trainer(max_steps=1), prompts, modes, every=1)
    assert trainer.model is not None
    trainer.model.register_forward_pre_hook(raises)
    with pytest.warns(UserWarning, match=r"cannot read # at #, of \[#, #\] \[U\+001B\]\]"):
        trainer.train()


def test_intervals_and_stops_are_over_clusters(
    make_trainer: Make, prompts: list[str], modes: ModeSet, tmp_path: Path
) -> None:
    import pandas as pd

    table = pd.DataFrame({"prompt": prompts, "template": [f"t{i // 3}" for i in range(len(prompts))]})
    options: dict[str, Any] = {"every": STEPS, "decoys": 2, "keep": tmp_path / "runs"}
    trainer = watched(
        make_trainer(), table, modes, cluster="template", stop=EarlyStop(reached=-0.99), **options
    )
    with pytest.warns(UserWarning, match="the margin is at least -0.99"):
        trainer.train()
    logged = measured(trainer)[STEPS]
    run = tmp_path / "runs" / f"checkpoint-{STEPS}"
    clustered, single = (margin.analyse(run, permutations=9, cluster=c) for c in ("template", None))
    overs = [one.sam["cosine"].leave_prompt_out for one in (clustered, single)]
    assert (logged["eval_sam_low"], logged["eval_sam_high"]) == pytest.approx((overs[0].low, overs[0].high))
    assert (overs[0].low, overs[0].high) != pytest.approx((overs[1].low, overs[1].high))
    assert overs[0].n_clusters == len(set(table["template"]))
    from margin.study.sections.decoys import Decoys

    found = clustered.study.section(Decoys)
    assert found is not None
    assert logged["eval_sam_above_decoys_low"] == pytest.approx(found.headline.above.low)


def test_a_column_that_is_not_there_is_refused_before_training(
    make_trainer: Make, prompts: list[str], modes: ModeSet
) -> None:
    with pytest.raises(MarginError, match="no column 'template' to cluster by: the prompts have none"):
        watched(make_trainer(), prompts, modes, every=1, cluster="template")
