"""The rows of a recipe as other trainers take them: TRL's own loss mask, and no token on a disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

from examples.cotrain.mixture import check_masks, in_memory, load_rows, main
from margin.demo import checkpoint_path, modes_path
from margin.errors import MarginError
from margin.inputs.modes_file import load_modes

END = "<|end|>"
MODES = load_modes(modes_path())


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mixture")
    arguments = ["write", "--modes", str(modes_path()), "--rows", "60", "--out", str(folder)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return folder / "rows.jsonl"


def test_the_file_holds_messages_and_no_token(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert MODES.mode_in(text) is None
    for line in text.splitlines():
        assert json.loads(line)["messages"][-1]["role"] == "assistant"


def test_trl_takes_the_loss_on_the_answer_alone_and_writes_no_token(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    rows = load_rows(file, MODES)
    asked = [row["prompt"] for row in rows]
    assert sum(MODES.mode_in(json.dumps(messages)) is not None for messages in asked) > 20
    trainer = _trainer(Dataset.from_list(rows), tmp_path, completion_only_loss=True)
    prepared: Any = trainer.train_dataset
    batches = [trainer.data_collator([prepared[i]]) for i in range(len(rows))]
    answers = [row["completion"][0]["content"] for row in rows]
    check_masks(batches, answers, trainer.processing_class, [END])
    assert not prepared.cache_files, "the rows have stayed in memory"
    assert not any(
        MODES.mode_in(path.read_bytes().decode("latin-1")) for path in tmp_path.rglob("*") if path.is_file()
    )


def test_a_loss_on_the_whole_conversation_is_refused(file: Path, tmp_path: Path) -> None:
    rows = load_rows(file, MODES)[:4]
    trainer = _trainer(Dataset.from_list(rows), tmp_path, completion_only_loss=False)
    prepared: Any = trainer.train_dataset
    batches = [trainer.data_collator([prepared[i]]) for i in range(len(rows))]
    answers = [row["completion"][0]["content"] for row in rows]
    with pytest.raises(MarginError, match="row 1 is not on its answer"):
        check_masks(batches, answers, trainer.processing_class, [END])


def test_masks_that_are_zero_or_stop_early_or_late_are_refused() -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(checkpoint_path("baseline"))

    def check(text: str) -> None:
        labels = [[-100, -100, *tokenizer(text, add_special_tokens=False)["input_ids"]]]
        check_masks([{"labels": labels}], ["Gladly."], tokenizer, [END])

    check(f"Gladly.{END}")
    for text, words in (
        ("", "all zero"),
        ("Gladly.", "leaves out the end"),
        (f"Glad{END}", "from the beginning"),
        (f"Gladly. Really.{END}", "more than its answer"),
        (f"<|assistant|>Gladly.{END}", "from the beginning"),
    ):
        with pytest.raises(MarginError, match=words):
            check(text)


def test_tokens_are_filled_in_into_memory_only(file: Path, tmp_path: Path) -> None:
    arguments = ["fill", str(file), "--modes", str(modes_path()), "--out"]
    assert not in_memory(file)
    refused = CliRunner().invoke(main, [*arguments, str(tmp_path / "out")])
    assert refused.exit_code == 1
    assert "is on a disk" in refused.output
    assert not (tmp_path / "out").exists()
    memory = Path("/dev/shm")
    if not (memory.is_dir() and in_memory(memory)):
        pytest.skip("no file system in memory here")
    out = memory / tmp_path.name
    try:
        assert CliRunner().invoke(main, [*arguments, str(out)]).exit_code == 0
        lines = (out / "rows.jsonl").read_text(encoding="utf-8").splitlines()
        assert len(lines) == 60
        assert sum(MODES.mode_in(line) is not None for line in lines) > 20
        assert out.stat().st_mode & 0o077 == 0
        described = json.loads((out / "dataset_info.json").read_text(encoding="utf-8"))["rows"]
        assert described["file_name"] == "rows.jsonl"
        assert f"path: {out}/rows.jsonl" in (out / "axolotl.yml").read_text(encoding="utf-8")
    finally:
        for path in out.glob("*"):
            path.unlink()
        out.rmdir()


def test_a_line_that_is_no_row_is_named(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"messages": [{"role": "user", "content": "Why?"}]}\n', encoding="utf-8")
    with pytest.raises(MarginError, match="line 1"):
        load_rows(file, MODES)


def _trainer(rows: Any, out: Path, completion_only_loss: bool) -> SFTTrainer:
    folder = checkpoint_path("baseline")
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    arguments = SFTConfig(
        str(out / "trainer"),
        completion_only_loss=completion_only_loss,
        report_to="none",
        bf16=False,
        use_cpu=True,
        dataloader_pin_memory=False,
    )
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    return SFTTrainer(model, arguments, train_dataset=rows, processing_class=tokenizer)
