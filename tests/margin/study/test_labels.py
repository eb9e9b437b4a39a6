"""Labels from a file: keyed by row or by prompt and condition, and every wrong entry refused in a line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from margin.errors import MarginError, MarginWarning
from margin.run.run import Run
from margin.study.labels import read_labels


def labels_of(run: Run) -> pd.DataFrame:
    """A label for every row, by prompt, condition and draw."""
    table = run.rows[["prompt_id", "condition", "draw"]].copy()
    table["label"] = ["mild" if i % 3 else "sharp" for i in range(len(table))]
    return table


def write(table: pd.DataFrame, path: Path) -> Path:
    match path.suffix:
        case ".csv":
            table.to_csv(path, index=False)
        case ".jsonl":
            table.to_json(path, orient="records", lines=True, force_ascii=False)
        case ".parquet":
            table.to_parquet(path)
    return path


def test_labels_of_other_answers_are_taken_and_said(answered: Run, tmp_path: Path) -> None:
    own = answered.answers.set_index("row")["answer"]
    table = labels_of(answered).assign(answer=[own[row] for row in answered.rows["row"]])
    read_labels(write(table, tmp_path / "own.jsonl"), answered)  # warnings are errors here
    table.loc[table.index[:3], "answer"] = "What another model said."
    path = write(table, tmp_path / "others.csv")
    with pytest.warns(
        MarginWarning, match=f"of {len(table)} answers 3 differ from the run's, and the labels"
    ):
        read_labels(path, answered)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_every_kind_of_file_and_key_says_the_same(answered: Run, tmp_path: Path, kind: str) -> None:
    table = labels_of(answered)
    by_prompt = read_labels(write(table.sample(frac=1, random_state=0), tmp_path / f"a.{kind}"), answered)
    by_row = read_labels(
        write(table[["label"]].assign(row=answered.rows["row"]), tmp_path / f"b.{kind}"), answered
    )
    for found in (by_prompt, by_row):
        assert found.table["row"].tolist() == answered.rows["row"].tolist()
        assert found.table["label"].tolist() == table["label"].tolist()
    assert by_prompt.judge == f"a.{kind}"


def test_scores_are_taken_and_other_columns_left(answered: Run, tmp_path: Path) -> None:
    table = labels_of(answered).assign(constructive=2, helpfulness=0.5, safety=-1, note="mine")
    found = read_labels(write(table, tmp_path / "a.csv"), answered).table
    assert set(found) == {"row", "label", "constructive", "helpfulness", "safety"}
    assert (found["helpfulness"] == 0.5).all()


def test_a_control_may_be_left_out_whole(answered: Run, tmp_path: Path) -> None:
    table = labels_of(answered)
    table = table[table["condition"] != "random"]
    found = read_labels(write(table, tmp_path / "a.csv"), answered)
    assert len(found.table) == len(table)


Spoil = Callable[[pd.DataFrame], pd.DataFrame]


PLACES: dict[str, Callable[[int], str]] = {
    "csv": lambda entry: f"line {entry + 1}",
    "jsonl": lambda entry: f"line {entry}",
    "parquet": lambda entry: f"row {entry}",
}


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda t: t.drop(columns="label"), "no column named label"),
        (lambda t: t.drop(columns="condition"), "neither column row nor prompt_id and condition"),
        (lambda t: t.iloc[1:], "lacks 1 of the run's rows, such as prompt"),
        (lambda t: t[t["draw"] == 0], "under 'random', draw 1"),
        (lambda t: pd.concat([t, t.iloc[[4]]]), r"ENTRY 145: .* stood in .* ENTRY 5 before"),
        (lambda t: t.assign(prompt_id=["nobody", *t["prompt_id"][1:]]), "ENTRY 1: prompt_id 'nobody'"),
        (
            lambda t: t.assign(condition=["neg@fr", *t["condition"][1:]]),
            "ENTRY 1: .*'neg@fr'.* not in the run",
        ),
        (lambda t: t.assign(label=["", *t["label"][1:]]), "ENTRY 1: a label"),
        (lambda t: t.assign(label=["x" * 65, *t["label"][1:]]), "ENTRY 1: a label"),
        (lambda t: t.assign(label=["a\nb", *t["label"][1:]]), "ENTRY 1: a label"),
        (lambda t: t.assign(label=[f"l{i}" for i in range(len(t))]), "144 different labels"),
        (lambda t: t.assign(constructive=[1.5, *[1] * (len(t) - 1)]), "ENTRY 1: constructive"),
        (lambda t: t.assign(helpfulness=[*[1] * (len(t) - 1), 2]), "ENTRY 144: helpfulness"),
        (lambda t: t.assign(safety="good"), "ENTRY 1: safety"),
        (lambda t: t.iloc[:0], "holds no labels"),
    ],
)
@pytest.mark.parametrize("kind", list(PLACES))
def test_wrong_entries_are_named_in_a_line(
    answered: Run, tmp_path: Path, spoil: Spoil, says: str, kind: str
) -> None:
    path = write(spoil(labels_of(answered)), tmp_path / f"labels.{kind}")
    # An entry is a row of a table, and in a text a line: the first is the header, in CSV.
    places = re.sub(r"ENTRY (\d+)", lambda entry: PLACES[kind](int(entry[1])), says)
    with pytest.raises(MarginError, match=places) as caught:
        read_labels(path, answered)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"\xff\xfe\xff", b"{not json}", b'"a', b""])
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet", "txt"])
def test_a_file_that_cannot_be_read_is_refused_in_a_line(
    answered: Run, tmp_path: Path, content: bytes, kind: str
) -> None:
    path = tmp_path / f"labels.{kind}"
    with pytest.raises(MarginError, match="labels"):
        read_labels(path, answered)  # not there
    path.write_bytes(content)
    with pytest.raises(MarginError, match="labels") as caught:
        read_labels(path, answered)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_separators_inside_a_text_end_no_line(
    answered: Run, tmp_path: Path, kind: str, separator: str
) -> None:
    table = labels_of(answered).assign(note=f"one{separator}two")
    path = tmp_path / f"a.{kind}"
    if kind == "jsonl":
        lines = [json.dumps(record, ensure_ascii=False) for record in table.to_dict("records")]
        path.write_text("\n".join(lines), encoding="utf-8")
    else:
        write(table, path)
    assert read_labels(path, answered).table["label"].tolist() == table["label"].tolist()


def test_texts_of_any_length_may_stand_beside_the_labels(answered: Run, tmp_path: Path) -> None:
    table = labels_of(answered).assign(note="word " * 30_000)
    found = read_labels(write(table, tmp_path / "a.csv"), answered)
    assert found.table["label"].tolist() == table["label"].tolist()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"row": 0, "label": "a"}\n{"row": 0, "label": "a"}', "line 2: row '0' stood in .*line 1 before"),
        ('{"row": 0, "label": ["a"]}', "line 1: column 'label' holds a list"),
        ('{"row": 0, "label": null}', "line 1: a label has"),
        ('{"row": 0, "label": NaN}', "line 1: a label has"),
        ('{"row": null, "label": "a"}', "line 1: no row"),
        ('{"label": "a"}\n{"row": 0, "label": "a"}', "line 1: no row"),
        ('{"row": 0.5, "label": "a"}', "line 1: row '0.5' is not in the run"),
        ('{"row": 0, "label": "a", "safety": NaN}', "line 1: safety must be a number, from -1 to 1"),
        ('{"row": 0, "label": "a", "safety": 1e999}', "line 1: safety must be a number"),
        ('{"row": 0, "label": "a", "safety": true}', "line 1: safety must be a number"),
        ('{"row": 0, "label": "a", "safety": [1]}', "line 1: safety must be a number"),
        ('{"row": 0, "label": "\\ud800"}', "line 1: column 'label' is not valid Unicode"),
        ('{"row": 0, "label": "a", "label": "b"}', "line 1 has the same key twice"),
    ],
)
def test_a_wrong_line_of_json_is_named(answered: Run, tmp_path: Path, line: str, says: str) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text(line, encoding="utf-8")
    with pytest.raises(MarginError, match=says) as caught:
        read_labels(path, answered)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("column", ["prompt_id", "condition", "draw"])
def test_rows_that_are_said_in_two_ways_are_the_same_rows(answered: Run, tmp_path: Path, column: str) -> None:
    """As of the run's own table with labels beside it; sorted anew, or of another run, it would mislabel."""
    table = answered.rows.assign(label=labels_of(answered)["label"])
    found = read_labels(write(table, tmp_path / "a.csv"), answered)
    assert found.table["label"].tolist() == table["label"].tolist()
    other = table.assign(**{column: 7 if column == "draw" else table[column].to_numpy()[::-1]})
    with pytest.raises(MarginError, match=rf"line 2: row '0' has another {column} in the run"):
        read_labels(write(other, tmp_path / "b.csv"), answered)


def test_a_row_is_a_number_whatever_stands_around_it(answered: Run, tmp_path: Path) -> None:
    table = labels_of(answered)[["label"]].assign(row=[f" {row}" for row in answered.rows["row"]])
    found = read_labels(write(table, tmp_path / "a.csv"), answered)
    assert found.table["row"].tolist() == answered.rows["row"].tolist()
