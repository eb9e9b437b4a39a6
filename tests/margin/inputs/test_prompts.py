"""Prompt sets from every source, and bad lines named without their text."""

from __future__ import annotations

import csv
import datetime
import decimal
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal
from unicodedata import normalize

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from margin.errors import MarginError
from margin.inputs.prompts import PromptSet, load_prompts
from margin.text import is_blank

TEXT = "How do I whittle a spoon?"


def write(tmp_path: Path, name: str, content: str | bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


RECORDS: list[dict[str, Any]] = [
    {"id": "007", "prompt": "Boil, an egg", "kind": "food", "hard": None},
    {"id": "b", "prompt": 'Say "hi"\nto the 世界', "kind": "talk", "hard": "yes"},
]


def test_every_source_gives_the_same_set(tmp_path: Path) -> None:
    frame = pd.DataFrame(RECORDS)
    frame.to_parquet(tmp_path / "p.parquet")
    frame.to_csv(tmp_path / "p.csv", index=False)
    write(tmp_path, "p.jsonl", "\ufeff" + "\n\n".join(json.dumps(record) for record in RECORDS) + "\n")
    sets = [load_prompts(tmp_path / f"p.{kind}") for kind in ("csv", "jsonl", "parquet")] + [
        load_prompts(frame)
    ]
    for prompts in sets:
        assert prompts.ids == ["007", "b"]
        assert prompts.texts == [record["prompt"] for record in RECORDS]
        assert prompts.slices == ["kind", "hard"]
        assert prompts.table["hard"].tolist() == [None, "yes"]


def test_prompts_without_ids_are_numbered(tmp_path: Path) -> None:
    prompts = load_prompts(["a", "b", "c"])
    assert (len(prompts), prompts.ids, prompts.slices) == (3, ["1", "2", "3"], [])
    assert prompts.limit(2).texts == ["a", "b"]
    assert prompts.limit(9).ids == prompts.ids
    with pytest.raises(MarginError, match="at least 1"):
        prompts.limit(0)


def test_times_of_day_keep_their_nanoseconds(tmp_path: Path) -> None:
    times = pa.array([1, 1, 2, 2], pa.time64("ns"))
    pq.write_table(pa.table({"prompt": list("abcd"), "began": times}), tmp_path / "p.parquet")
    began = load_prompts(tmp_path / "p.parquet").table["began"]
    assert began.nunique() == 2
    assert began[0] == began[1] != began[2]


def test_integer_ids_of_a_parquet_file_stay_integers(tmp_path: Path) -> None:
    pd.DataFrame({"id": [1, 2], "prompt": ["a", "b"], "level": pd.array([3, None], "Int64")}).to_parquet(
        tmp_path / "p.parquet"
    )
    prompts = load_prompts(tmp_path / "p.parquet")
    assert prompts.ids == ["1", "2"]
    assert prompts.table["level"].tolist() == ["3", None]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.jsonl", f'{{"prompt": "{TEXT}"}}\n{{"prompt": " "}}', "line 2: the prompt is empty"),
        ("p.jsonl", f'{{"prompt": "{TEXT}"}}\n\n{{"prompt": null}}', "line 3: the prompt is empty"),
        ("p.jsonl", '{"prompt": 7}', "line 1: the prompt is not a text"),
        ("p.jsonl", f'{{"text": "{TEXT}"}}', "line 1: no column named prompt"),
        ("p.jsonl", f'{{"prompt": "{TEXT}"', "line 1 is not JSON"),
        ("p.jsonl", f'{{"prompt": "{TEXT}', "line 1 is not JSON: Unterminated string starting at column 12"),
        ("p.jsonl", "[" * 100_000, "line 1 is not JSON"),
        ("p.jsonl", f'"{TEXT}"', "line 1 is not a JSON object"),
        ("p.jsonl", '{"prompt": "\\ud800"}', "line 1: column 'prompt' is not valid Unicode"),
        ("p.jsonl", '{"prompt": "a", "kind": "\\ud800"}', "line 1: column 'kind' is not valid Unicode"),
        ("p.jsonl", '{"prompt": "a", "tags": ["x"]}', "line 1: column 'tags' holds a list"),
        ("p.jsonl", '{"prompt": "a", "id": ""}', "line 1: the id is empty"),
        ("p.jsonl", '{"prompt": "a", "id": null}', "line 1: the id is empty"),
        ("p.jsonl", '{"prompt": "a", "id": "b\\u202ec"}', "line 1: the id holds .* cannot be seen"),
        (
            "p.jsonl",
            '{"prompt": "a", "id": 1}\n{"prompt": "b", "id": "1"}',
            "line 2: the same id as .*line 1",
        ),
        (
            "p.jsonl",
            f'{{"prompt": "{TEXT}"}}\n{{"prompt": "{TEXT} "}}',
            "line 2: the same prompt as .*line 1",
        ),
        ("p.jsonl", "\n \n", "holds no prompts"),
        ("p.jsonl", b'{"prompt": "a"}\n{"prompt": "caf\xe9"}', "line 2 is not UTF-8"),
        ("p.csv", "", "holds no prompts"),
        ("p.csv", "id,prompt\n", "holds no prompts"),
        ("p.csv", f"{TEXT}\n{TEXT} now?\n", "line 1: no column named prompt"),
        ("p.csv", f",prompt\n0,{TEXT}\n", r"line 1: column 1 has no name \(an index .* index=False"),
        ("p.csv", f"sep=,\nid,prompt\n0,{TEXT}\n", "line 1 is a note for Excel"),
        ("p.csv", f"prompt,prompt\na,{TEXT}\n", "line 1: two columns have the same name"),
        ("p.csv", f'id,prompt\n1,"{TEXT}\n\nplease"\n2,\n', "line 5: the prompt is empty"),
        ("p.csv", f"id,prompt\n1,{TEXT},x\n", "line 2 has 3 fields, the header has 2"),
        ("p.csv", f'id,prompt\n1,a\n2,"{TEXT}\n', "line 3 is not CSV"),
        ("p.parquet", "PAR1 not really", "not a Parquet file"),
        ("p.txt", TEXT, "unknown kind of prompt file"),
    ],
)
def test_a_bad_line_is_named_without_its_text(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    path = write(tmp_path, name, content)
    with pytest.raises(MarginError, match=message) as caught:
        load_prompts(path)
    said = str(caught.value)
    assert str(path) in said
    assert "\n" not in said
    assert TEXT not in said


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (["a", " "], "item 2: the prompt is empty"),
        (["a", 3], "item 2: the prompt is not a text"),
        ([], "holds no prompts"),
        (pd.DataFrame({"text": ["a"]}), "no column named prompt"),
        (pd.DataFrame({"prompt": ["a", None]}), "row 2: the prompt is"),
    ],
)
def test_bad_lists_and_tables_are_named(source: Any, message: str) -> None:
    with pytest.raises(MarginError, match=message):
        load_prompts(source)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(MarginError, match=r"nowhere.csv: No such file"):
        load_prompts(tmp_path / "nowhere.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(MarginError, match="Is a directory"):
        load_prompts(tmp_path / "folder.csv")


def test_a_prompt_is_named_by_id_and_line_and_its_text_is_not_shown(tmp_path: Path) -> None:
    path = write(tmp_path, "p.csv", f'id,prompt\nspoon,"{TEXT}\nSlowly."\nfork,And a fork?\n')
    prompts = load_prompts(path)
    assert prompts.place(1) == f"prompt 'fork' ({path} line 4)"
    assert prompts.limit(1).place(0) == f"prompt 'spoon' ({path} line 2)"
    assert len(prompts.limit(1).places) == 1
    assert TEXT not in f"{prompts!r} {prompts}"
    assert PromptSet(prompts.table).place(1) == "prompt 'fork' (row 2)"


PROMPTS = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")).filter(
        lambda text: not is_blank(text)
    ),
    min_size=1,
    max_size=8,
    unique_by=str.strip,
)


@given(PROMPTS)
def test_csv_texts_come_back_with_the_lines_they_start_on(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL)
    writer.writerow(["prompt"])
    starts = []
    for text in texts:
        # As an editor counts: \r\n is one line break, and so are \r and \n alone.
        starts.append(1 + len(buffer.getvalue().replace("\r\n", "\n").replace("\r", "\n").split("\n")) - 1)
        writer.writerow([text])
    path = write(tmp_path_factory.mktemp("csv"), "p.csv", buffer.getvalue())
    prompts = load_prompts(path)
    assert prompts.texts == texts
    assert prompts.places == tuple(f"{path} line {start}" for start in starts)


@given(PROMPTS)
def test_jsonl_texts_come_back(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    lines = "\n".join(json.dumps({"prompt": text}, ensure_ascii=False) for text in texts)
    path = write(tmp_path_factory.mktemp("jsonl"), "p.jsonl", lines)
    prompts = load_prompts(path)
    assert prompts.texts == texts
    assert prompts.places == tuple(f"{path} line {number}" for number in range(1, len(texts) + 1))


COLUMNS = {"prompt": ["Boil, an egg", "Say hi"], "kind": ["food", "talk"], "n": [1, None]}


@pytest.mark.parametrize(
    "make",
    [
        lambda columns: columns,
        lambda columns: {name: tuple(values) for name, values in columns.items()},
        lambda columns: {name: np.array(values, dtype=object) for name, values in columns.items()},
        lambda columns: {name: pd.Series(values, dtype=object) for name, values in columns.items()},
        lambda columns: pd.DataFrame(columns, dtype=object),
        lambda columns: pa.table(columns),
        lambda columns: datasets.Dataset.from_dict(columns),
        lambda columns: datasets.Dataset.from_dict(columns)[:2],
        lambda columns: list(datasets.Dataset.from_dict(columns)),
        lambda columns: (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)),
        lambda columns: load_prompts(columns),
    ],
)
def test_every_kind_of_table_is_a_table(make: Callable[[pd.DataFrame], object]) -> None:
    prompts = load_prompts(make(COLUMNS))
    assert prompts.texts == COLUMNS["prompt"]
    assert prompts.slices == ["kind", "n"]
    assert prompts.table["kind"].tolist() == ["food", "talk"]
    assert prompts.table["n"].tolist() == ["1", None]


@pytest.mark.parametrize(
    "source",
    [["a b", "c"], ("a b", "c"), np.array(["a b", "c"]), pd.Series(["a b", "c"]), (t for t in ("a b", "c"))],
)
def test_every_kind_of_list_is_a_list_of_texts(source: Any) -> None:
    prompts = load_prompts(source)
    assert (prompts.texts, prompts.ids, prompts.slices) == (["a b", "c"], ["1", "2"], [])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (TEXT, "given as one text are the path of a file"),
        (TEXT + "\n", "given as one text are the path of a file"),
        ({"prompt": TEXT}, "column 'prompt' is no list"),
        ({"prompt": {"a": TEXT}}, "column 'prompt' is no list"),
        ({"prompt": [TEXT], "kind": 3}, "column 'kind' is no list"),
        ({"prompt": [TEXT], "kind": ["a", "b"]}, "different lengths: 'prompt' 1, 'kind' 2"),
        ({"text": [TEXT]}, "no column named prompt"),
        ({"Prompt": [TEXT]}, "there is 'Prompt': rename it"),
        ({}, "no column named prompt"),
        ({"prompt": []}, "holds no prompts"),
        (datasets.DatasetDict({"train": datasets.Dataset.from_dict({"prompt": [TEXT]})}), r"\['train'\]"),
        ([TEXT, {"text": TEXT}], "item 2: no column named prompt"),
        ([TEXT, [TEXT]], "item 2: the prompt is not a text"),
        ([TEXT, b"bytes"], "item 2: the prompt is not a text"),
        (np.array([[TEXT, "a"]]), "item 1: the prompt is not a text"),
        (pd.Series([1, 2]), "item 1: the prompt is not a text"),
        ([TEXT, float("nan")], "item 2: the prompt is empty"),
        (np.array(TEXT), "cannot be a ndarray"),
        ({TEXT, "a"}, "cannot be a set"),
        (b"p.csv", "cannot be a bytes"),
        (None, "cannot be a NoneType"),
        (7, "cannot be a int"),
        ({"prompt": [TEXT], "": ["a"]}, "column 2 has no name"),
        ({"prompt": [TEXT], " ": ["a"]}, "column 2 has no name"),
        ({"prompt": [TEXT], "a b": ["a"], "a\n b": ["b"]}, "two columns have the same name"),
        ({"prompt": [TEXT], "a\x1b[2J": ["a"]}, "column 2 holds characters that cannot be seen"),
        ({"prompt": [TEXT], "a\u202eb": ["a"]}, "column 2 holds characters that cannot be seen"),
        ({"prompt": [TEXT], "a\ud800": ["a"]}, "column 2 holds characters that cannot be seen"),
        ({"prompt": [TEXT], "kind": [b"a"]}, "column 'kind' holds bytes"),
        ({"prompt": [TEXT], "kind": [float("inf")]}, "column 'kind' holds an infinite number"),
    ],
)
def test_what_is_neither_a_list_nor_a_table_is_refused_in_a_line(source: Any, message: str) -> None:
    with pytest.raises(MarginError, match=message) as caught:
        load_prompts(source)
    assert "\n" not in str(caught.value)
    assert TEXT not in str(caught.value)


def test_names_of_columns_may_be_long_and_of_several_lines(tmp_path: Path) -> None:
    name = "how\nhard  is it"
    prompts = load_prompts({"prompt": ["a"], name: [1], "x" * 5000: [2], "Hard": [3], "hard": [4]})
    assert prompts.slices == ["how hard is it", "x" * 5000, "Hard", "hard"]
    write(tmp_path, "p.csv", f'prompt,"{name}"\na,1\n')
    assert load_prompts(tmp_path / "p.csv").slices == ["how hard is it"]


def test_a_field_of_csv_may_be_of_any_length(tmp_path: Path) -> None:
    text = "word " * 30_000
    path = write(tmp_path, "p.csv", f"prompt,kind\n{text},a\nWhat is rice?,b\n")
    before = csv.field_size_limit()
    assert load_prompts(path).texts == [text, "What is rice?"]
    assert csv.field_size_limit() == before


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_csv_may_end_its_lines_in_any_way(tmp_path: Path, end: str, mark: str) -> None:
    path = write(tmp_path, "p.csv", mark + end.join(["prompt,kind", '"a', 'b",x', "c,y", ""]))
    prompts = load_prompts(path)
    assert prompts.texts == [f"a{end}b", "c"]
    assert prompts.places == (f"{path} line 2", f"{path} line 4")


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_ids_and_labels_that_look_alike_are_one(form: Literal["NFC", "NFD"], tmp_path: Path) -> None:
    record = {"id": "caf\u00e9", "prompt": "a", "th\u00e8me": "\u00e9t\u00e9"}
    record = {normalize(form, name): normalize(form, value) for name, value in record.items()}
    prompts = load_prompts(write(tmp_path, "p.jsonl", json.dumps(record)))
    assert (prompts.ids, prompts.slices) == (["caf\u00e9"], ["th\u00e8me"])
    assert prompts.table["th\u00e8me"].tolist() == ["\u00e9t\u00e9"]
    texts = [normalize(form, "caf\u00e9"), "tea"]
    assert load_prompts(texts).texts == texts  # the model reads a prompt as it was written


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_separators_inside_a_text_end_no_line(tmp_path: Path, kind: str, separator: str) -> None:
    text = f"one{separator}two"
    line = json.dumps({"prompt": text}, ensure_ascii=False) if kind == "jsonl" else f"prompt\n{text}"
    assert load_prompts(write(tmp_path, f"p.{kind}", line)).texts == [text]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.csv", f"id;prompt\n1;{TEXT}\n", "no column named prompt.*separated by semicolons"),
        ("p.csv", f"id\tprompt\n1\t{TEXT}\n", "separated by tabs"),
        ("p.csv", f"id,Prompt\n1,{TEXT}\n", "there is 'Prompt'"),
        ("p.csv", f'id, prompt\n1, "{TEXT}"\n', "line 1: spaces stand after the commas"),
        ("p.csv", f'id,prompt\n1,"{TEXT}" torn"\n', "line 2 is not CSV"),
        ("p.csv", f"id,prompt\n1,{TEXT}\x00\n", "line 2 holds a NUL byte"),
        ("p.csv", f"id,prompt\n1,{TEXT}\n".encode("utf-16"), "line 1 is not UTF-8"),
        ("p.csv", f"id,prompt\n1,{TEXT}\n".encode("utf-16-le"), "NUL byte"),
        ("p.jsonl", f'{{"prompt": "{TEXT}"}}'.encode("utf-16"), "line 1 is not UTF-8"),
        ("p.jsonl", f'{{"prompt": "{TEXT}"}}'.encode("utf-16-le"), "line 1 is not JSON"),
        ("p.jsonl", '{"prompt": "a"}\n\ufeff{"prompt": "b"}', "line 2 is not JSON"),
        ("p.jsonl", '{"prompt": "a", "n": 1e999}', "line 1: column 'n' holds an infinite number"),
        ("p.jsonl", '{"prompt": "a", "n": -Infinity}', "line 1: column 'n' holds an infinite number"),
        ("p.jsonl", '{"prompt": NaN}', "line 1: the prompt is empty"),
        ("p.jsonl", f'{{"prompt": "a", "n": {"9" * 5000}}}', "line 1 is not JSON that can be read"),
        ("p.jsonl", f'{{"prompt": "a", "n": {"[" * 10**5}{"]" * 10**5}}}', "line 1 is not JSON"),
        ("p.jsonl", '{"prompt": "a", "prompt": "b"}', "line 1 has the same key twice"),
        ("p.jsonl", '{"prompt": "a", "k": 1, "k ": 2}', "line 1: two columns have the same name"),
        ("p.jsonl", '{"prompt": "a", "\\ud800": 2}', "line 1: the name of column 2"),
    ],
)
def test_torn_and_strange_files_are_named_by_their_line(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    path = write(tmp_path, name, content)
    with pytest.raises(MarginError, match=message) as caught:
        load_prompts(path)
    assert "\n" not in str(caught.value)
    assert TEXT not in str(caught.value)


def test_nan_in_json_lines_is_a_missing_value(tmp_path: Path) -> None:
    """As pandas and json.dumps write one."""
    path = write(tmp_path, "p.jsonl", '{"prompt": "a", "n": NaN}\n{"prompt": "b", "n": 2}')
    assert load_prompts(path).table["n"].tolist() == [None, "2"]


def test_every_type_of_parquet_is_a_label_or_one_line(tmp_path: Path) -> None:
    moment = datetime.datetime(2025, 3, 1, 12, tzinfo=datetime.UTC)
    good = {
        "duration": pa.array([datetime.timedelta(hours=2)], pa.duration("s")),
        "decimal": pa.array([decimal.Decimal("1.50")]),
        "dictionary": pa.array(["a"]).dictionary_encode(),
        "zone": pa.array([moment], pa.timestamp("us", "Asia/Tokyo")),
        "nothing": pa.nulls(1),
        "large": pa.array(["a"], pa.large_string()),
        "view": pa.array(["a"], pa.string_view()),
        "date": pa.array([moment.date()]),
        "nanoseconds": pa.array([1], pa.timestamp("ns")),
        "bool": pa.array([True]),
        "half": pa.array(np.array([0.5], np.float16)),
        "json": pa.ExtensionArray.from_storage(pa.json_(), pa.array(["{}"])),
    }
    path = tmp_path / "p.parquet"
    pq.write_table(pa.table({"prompt": pa.array([TEXT], pa.large_string()), **good}), path)
    assert load_prompts(path).table.iloc[0].tolist() == [
        *("1", TEXT, "2:00:00", "1.50", "a", "2025-03-01 21:00:00+09:00", None, "a", "a", "2025-03-01"),
        *("1970-01-01 00:00:00.000000001", "True", "0.5", "{}"),
    ]
    bad = {
        "binary": pa.array([b"a"]),
        "list": pa.array([["a"]]),
        "struct": pa.array([{"a": 1}]),
        "map": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())),
        "unknown zone": pa.array([moment], pa.timestamp("us", "Mars/Base")),
        "infinite": pa.array([float("inf")]),
    }
    for name, values in bad.items():
        pq.write_table(pa.table({"prompt": [TEXT], name: values}), path)
        with pytest.raises(MarginError, match=f"column '{name}'") as caught:
            load_prompts(path)
        assert "\n" not in str(caught.value)
        assert TEXT not in str(caught.value)


def test_two_columns_of_one_name_in_parquet_are_one_line(tmp_path: Path) -> None:
    table = pa.table([pa.array([TEXT]), pa.array(["b"])], names=["prompt", "prompt"])
    pq.write_table(table, tmp_path / "p.parquet")
    with pytest.raises(MarginError, match="two columns have the same name"):
        load_prompts(tmp_path / "p.parquet")


def test_a_torn_parquet_file_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    pq.write_table(pa.table({"prompt": [f"{TEXT} {i}" for i in range(1000)]}), path)
    whole = path.read_bytes()
    scrambled = whole[:200] + bytes(byte ^ 0xFF for byte in whole[200:600]) + whole[600:]
    for torn in (whole[:-9], whole[100:], b"", b"PAR1" + whole[-300:], scrambled):
        path.write_bytes(torn)
        with pytest.raises(MarginError) as caught:
            load_prompts(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_slice_values_that_look_alike_are_one() -> None:
    """Two lines of a report that read "en" would each be of half of the prompts."""
    values = ["en", "en ", "\ten", "e n", "e\u00a0 n", "", " ", None]
    prompts = load_prompts([{"prompt": str(i), "language": value} for i, value in enumerate(values)])
    assert prompts.table["language"].tolist() == ["en", "en", "en", "e n", "e n", None, None, None]


@pytest.mark.parametrize("ids", [[1.0, 2.0], [1, 2], ["1 ", " 2"], ["1", 2.0]])
def test_an_id_is_what_readers_see(ids: list[object], tmp_path: Path) -> None:
    assert load_prompts([{"id": i, "prompt": f"text {i}"} for i in ids]).ids == ["1", "2"]
    if len({type(i) for i in ids}) == 1:
        pd.DataFrame({"id": ids, "prompt": ["a b", "c d"]}).to_parquet(tmp_path / "p.parquet")
        assert load_prompts(tmp_path / "p.parquet").ids == ["1", "2"]


def test_ids_that_look_alike_are_one() -> None:
    with pytest.raises(MarginError, match="the same id as item 1"):
        load_prompts([{"id": 1, "prompt": "a"}, {"id": "1 ", "prompt": "b"}])


def test_row_labels_of_pandas_are_no_column(tmp_path: Path) -> None:
    table = pd.DataFrame({"prompt": ["a b", "c d", "e f"], "language": ["en", "de", "en"]})
    table.iloc[::-1].to_parquet(tmp_path / "p.parquet")
    assert load_prompts(tmp_path / "p.parquet").slices == ["language"]


def test_an_index_with_a_name_is_a_column_as_in_a_file(tmp_path: Path) -> None:
    table = pd.DataFrame({"id": ["x", "y"], "prompt": ["a b", "c d"], "language": ["en", "de"]})
    table.set_index("id").to_parquet(tmp_path / "p.parquet")
    for source in (table.set_index("id"), table.set_index(["language", "id"]), tmp_path / "p.parquet"):
        found = load_prompts(source)
        assert (found.ids, found.slices) == (["x", "y"], ["language"])
    assert load_prompts(table.set_index("id", drop=False)).ids == ["x", "y"]


@pytest.mark.parametrize("text", ["\u200b", " \u2060\ufeff", "\u200e\n", "\u200d"])
def test_a_prompt_that_cannot_be_seen_is_empty(text: str) -> None:
    with pytest.raises(MarginError, match="item 1: the prompt is empty"):
        load_prompts([text, "a b"])


def test_one_prompt_is_no_plural() -> None:
    assert repr(load_prompts(["a"])) == "PromptSet(1 prompt, slices: none)"
    assert repr(load_prompts(["a", "b"])) == "PromptSet(2 prompts, slices: none)"
