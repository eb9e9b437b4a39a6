"""Prompts from a Hugging Face data set: folders that the library itself wrote, and files it reads as one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value, are_progress_bars_disabled

from margin.cli import main
from margin.demo import checkpoint_path, modes_path
from margin.errors import MarginError
from margin.extras import MissingExtraError
from margin.inputs.prompts import load_prompts
from margin.run.run import open_run

TEXTS = ["How do I poach an egg?", "Which yarn is warm?", "When do tulips flower?"]
COLUMNS: dict[str, list[Any]] = {
    "goal": TEXTS,
    "category": ["food", "craft", "garden"],
    "messages": [["a"], ["b"], ["c"]],
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's cache, in a folder of the test's."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def saved(path: Path, **columns: list[Any]) -> Path:
    Dataset.from_dict(columns or COLUMNS).save_to_disk(path)
    return path


def test_a_saved_set_is_read_and_said(tmp_path: Path) -> None:
    found = load_prompts(saved(tmp_path / "set"))
    assert found.texts == TEXTS
    assert found.ids == ["1", "2", "3"]
    assert found.slices == ["category"]
    assert found.said == f"prompts: column 'goal' of {tmp_path / 'set'}, 3 rows; left out: messages"
    assert load_prompts(str(tmp_path / "set"), column="category").texts == COLUMNS["category"]
    assert not are_progress_bars_disabled()


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_a_folder_of_files_is_a_set(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    table = pd.DataFrame({"Behavior": TEXTS, "id": ["a", "b", "c"], "n": [1, 2, 3]})
    match kind:
        case "csv":
            table.to_csv(folder / "test.csv", index=False)
        case "parquet":
            table.to_parquet(folder / "test.parquet")
        case "jsonl":
            table.to_json(folder / "test.jsonl", orient="records", lines=True)
    found = load_prompts(folder)
    assert (found.texts, found.ids) == (TEXTS, ["a", "b", "c"])
    assert found.table["n"].tolist() == ["1", "2", "3"]
    assert "column 'Behavior' of" in found.said
    assert "split test, 3 rows" in found.said
    assert load_prompts(folder, split="test[:2]").texts == TEXTS[:2]


@pytest.mark.parametrize(
    ("columns", "taken"),
    [
        (("instruction", "output"), "instruction"),
        (("target", "Goal"), "Goal"),
        (("text", "question"), "question"),
        (("prompt", "question"), "prompt"),
        (("forbidden_prompt", "category"), "forbidden_prompt"),
    ],
)
def test_what_public_sets_call_their_prompts_is_known(
    tmp_path: Path, columns: tuple[str, ...], taken: str
) -> None:
    values = {name: [f"{name} {i}" for i in range(2)] for name in columns}
    found = load_prompts(saved(tmp_path / "set", **values))
    assert found.texts == values[taken]
    assert f"column {taken!r}" in found.said


def test_classes_get_their_names_and_another_prompt_column_gives_way(tmp_path: Path) -> None:
    features = Features(
        {"prompt": Value("string"), "question": Value("string"), "kind": ClassLabel(names=["mild", "sharp"])}
    )
    rows = {"prompt": ["x", "y"], "question": ["Why?", "How?"], "kind": [1, None]}
    Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / "set")
    found = load_prompts(tmp_path / "set", column="question")
    assert found.texts == rows["question"]
    assert found.table["kind"].tolist() == ["sharp", None]
    assert found.said.endswith("left out: prompt")


def test_a_configuration_stands_after_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    configs = "".join(f"- config_name: {name}\n  data_files: {name}.csv\n" for name in ("mild", "sharp"))
    (folder / "README.md").write_text(f"---\nconfigs:\n{configs}---\n")
    for name in ("mild", "sharp"):
        pd.DataFrame({"question": [f"{name} 1", f"{name} 2"]}).to_csv(folder / f"{name}.csv", index=False)
    assert load_prompts(folder / "sharp").texts == ["sharp 1", "sharp 2"]
    with pytest.raises(MarginError, match=r"Config name is missing.*mild"):
        load_prompts(folder)


@pytest.fixture
def splits(tmp_path: Path) -> Path:
    parts = {name: Dataset.from_dict({"question": TEXTS[:n]}) for name, n in (("train", 3), ("test", 2))}
    DatasetDict(parts).save_to_disk(tmp_path / "splits")
    return tmp_path / "splits"


def test_a_split_is_chosen(splits: Path) -> None:
    assert load_prompts(splits, split="test").texts == TEXTS[:2]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, r"has 2 splits, train \(3 rows\), test \(2 rows\): say which \(--split NAME\)"),
        ({"split": "dev"}, r"no split 'dev': it has train \(3 rows\), test"),
        ({"split": "test", "column": "text"}, "split test has no column 'text': it has question"),
    ],
)
def test_an_unknown_split_or_column_is_answered_with_those_there_are(
    splits: Path, options: dict[str, str], says: str
) -> None:
    with pytest.raises(MarginError, match=says) as caught:
        load_prompts(splits, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (
            lambda f: Dataset.from_dict({"a": ["x"], "b": ["y"]}).save_to_disk(f),
            "no column that is known.*a, b",
        ),
        (lambda f: saved(f, prompt=["x", ""]), "row 2: the prompt is empty"),
        (lambda f: saved(f, prompt=["x", "x"]), "row 2: the same prompt as"),
        (lambda f: saved(f, prompt=[["x"]]), "row 1: the prompt is not a text"),
        (lambda f: f.mkdir(), "cannot be read as a data set"),
        (lambda f: (f.mkdir(), (f / "a.csv").write_bytes(b'"')), "cannot be read as a data set"),
        (lambda f: (f.mkdir(), (f / "state.json").write_text("{}")), "cannot be read as a data set"),
    ],
)
def test_what_is_no_set_of_prompts_is_one_line(tmp_path: Path, spoil: Any, says: str) -> None:
    spoil(tmp_path / "set")
    with pytest.raises(MarginError, match=says) as caught:
        load_prompts(tmp_path / "set")
    assert "\n" not in str(caught.value)


def test_an_id_that_cannot_be_reached_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    for name in ("somebody/nothing", "somebody/nothing/part"):
        with pytest.raises(MarginError, match=f"{name} is no file or folder here, and no data set") as caught:
            load_prompts(name)
    assert "\n" not in str(caught.value)


def test_without_the_library_what_to_install_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"needs datasets: pip install 'safety-margin\[datasets\]'"):
        load_prompts(tmp_path)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_column_of_a_file_is_named_too(tmp_path: Path, kind: str) -> None:
    table = pd.DataFrame({"question": TEXTS, "prompt": ["x", "y", "z"], "level": ["a", "b", "a"]})
    path = tmp_path / f"p.{kind}"
    match kind:
        case "csv":
            table.to_csv(path, index=False)
        case "jsonl":
            table.to_json(path, orient="records", lines=True)
        case "parquet":
            table.to_parquet(path)
    found = load_prompts(path, column="question")
    assert found.texts == TEXTS
    assert found.slices == ["level"]
    with pytest.raises(MarginError, match=r"no column named ask.* \(it has question, prompt, level\)"):
        load_prompts(path, column="ask")
    with pytest.raises(MarginError, match="a split is of a data set"):
        load_prompts(path, split="test")


def test_the_command_takes_a_set_and_says_what_it_took(tmp_path: Path) -> None:
    folder = saved(tmp_path / "set")
    arguments = ["collect", checkpoint_path("cotrained"), "--modes", modes_path(), "--decoys", "0"]
    run = tmp_path / "run"
    done = CliRunner().invoke(main, [*map(str, arguments), "--prompts", str(folder), "--out", str(run)])
    assert done.exit_code == 0, done.output
    assert done.stderr.count("prompts: column 'goal'") == 1
    assert open_run(run).prompts["prompt"].tolist() == TEXTS
    wrong = [*map(str, arguments), "--prompts", str(folder), "--out", str(tmp_path / "b"), "--column", "nil"]
    done = CliRunner().invoke(main, wrong)
    assert done.exit_code == 2
    assert "no column 'nil': it has goal, category, messages" in done.stderr
    assert not (tmp_path / "b").exists()
