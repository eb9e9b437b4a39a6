"""Prompt sets from every source, and bad lines named without their text."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from margin.errors import MarginError
from margin.inputs.prompts import PromptSet, load_prompts

TEXT = "How do I whittle a spoon?"


def write(tmp_path: Path, name: str, content: str | bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


RECORDS = [
    {"id": "007", "prompt": "Boil, an egg", "kind": "food", "hard": None},
    {"id": "b", "prompt": 'Say "hi"\nto the 世界', "kind": "talk", "hard": "yes"},
]


def test_every_source_gives_the_same_set(tmp_path):
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


def test_prompts_without_ids_are_numbered(tmp_path):
    prompts = load_prompts(["a", "b", "c"])
    assert (len(prompts), prompts.ids, prompts.slices) == (3, ["1", "2", "3"], [])
    assert prompts.limit(2).texts == ["a", "b"]
    assert prompts.limit(9).ids == prompts.ids
    with pytest.raises(MarginError, match="at least 1"):
        prompts.limit(0)


def test_integer_ids_of_a_parquet_file_stay_integers(tmp_path):
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
        ("p.jsonl", "[" * 100_000, "line 1 is not JSON"),
        ("p.jsonl", f'"{TEXT}"', "line 1 is not a JSON object"),
        ("p.jsonl", '{"prompt": "\\ud800"}', "line 1: column 'prompt' is not valid Unicode"),
        ("p.jsonl", '{"prompt": "a", "kind": "\\ud800"}', "line 1: column 'kind' is not valid Unicode"),
        ("p.jsonl", '{"prompt": "a", "tags": ["x"]}', "line 1: column 'tags' holds a list"),
        ("p.jsonl", '{"prompt": "a", "id": ""}', "line 1: the id is empty"),
        ("p.jsonl", '{"prompt": "a", "id": null}', "line 1: the id is empty"),
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
        ("p.csv", f",prompt\n0,{TEXT}\n", "line 1: column 1 has no name"),
        ("p.csv", f"prompt,prompt\na,{TEXT}\n", "line 1: two columns have the same name"),
        ("p.csv", f'id,prompt\n1,"{TEXT}\n\nplease"\n2,\n', "line 5: the prompt is empty"),
        ("p.csv", f"id,prompt\n1,{TEXT},x\n", "line 2 has 3 fields, the header has 2"),
        ("p.csv", f'id,prompt\n1,a\n2,"{TEXT}\n', "line 3 is not CSV"),
        ("p.parquet", "PAR1 not really", "not a Parquet file"),
        ("p.txt", TEXT, "unknown kind of prompt file"),
    ],
)
def test_a_bad_line_is_named_without_its_text(tmp_path, name, content, message):
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
def test_bad_lists_and_tables_are_named(source, message):
    with pytest.raises(MarginError, match=message):
        load_prompts(source)


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(MarginError, match=r"nowhere.csv: No such file"):
        load_prompts(tmp_path / "nowhere.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(MarginError, match="Is a directory"):
        load_prompts(tmp_path / "folder.csv")


def test_a_prompt_is_named_by_id_and_line_and_its_text_is_not_shown(tmp_path):
    path = write(tmp_path, "p.csv", f'id,prompt\nspoon,"{TEXT}\nSlowly."\nfork,And a fork?\n')
    prompts = load_prompts(path)
    assert prompts.place(1) == f"prompt 'fork' ({path} line 4)"
    assert prompts.limit(1).place(0) == f"prompt 'spoon' ({path} line 2)"
    assert len(prompts.limit(1).places) == 1
    assert TEXT not in f"{prompts!r} {prompts}"
    assert PromptSet(prompts.table).place(1) == "prompt 'fork' (row 2)"


PROMPTS = st.lists(
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00")).filter(str.strip),
    min_size=1,
    max_size=8,
    unique_by=str.strip,
)


@given(PROMPTS)
def test_csv_texts_come_back_with_the_lines_they_start_on(tmp_path_factory, texts):
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
def test_jsonl_texts_come_back(tmp_path_factory, texts):
    lines = "\n".join(json.dumps({"prompt": text}, ensure_ascii=False) for text in texts)
    path = write(tmp_path_factory.mktemp("jsonl"), "p.jsonl", lines)
    prompts = load_prompts(path)
    assert prompts.texts == texts
    assert prompts.places == tuple(f"{path} line {number}" for number in range(1, len(texts) + 1))
