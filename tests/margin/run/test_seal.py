"""Whatever is written and read again: no change of a byte passes, unless nothing that is read changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from margin.errors import MarginError
from margin.run.files import sha256_of
from margin.run.manifest import read_manifest
from margin.run.run import Run, open_run
from margin.run.seal import read_sealed, sealed
from margin.run.shards import read_rows, write_shard
from margin.study.judgements import Judgements
from margin.study.judgements_file import NAME, read_judgements, write_judgements
from tests.tiny_manifests import tiny_manifest

FORM, AGAIN = "margin-test/1", "write it again"


def read(path: Path) -> Any:
    return read_sealed(path, "test", FORM, AGAIN)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    record = {"format": FORM, "text": "naïve “☃”", "numbers": [1, 0.5, -2e-7], "none": None, "is": True}
    path = tmp_path / "sealed.json"
    path.write_text(json.dumps(sealed(record), indent=1, ensure_ascii=False), encoding="utf-8")
    return path


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(MarginError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


def outcome(read: Callable[[], Any]) -> tuple[Any, str | None]:
    """What is read, or why not."""
    try:
        return read(), None
    except MarginError as error:
        return None, str(error)


def assert_every_change_shows(path: Path, read: Callable[[], Any], places: range | list[int]) -> int:
    """Each byte in turn, changed in three ways: refused in one line, or nothing that is read differs."""
    data, whole, refused = path.read_bytes(), read(), 0
    for place in places:
        for change in (0x01, 0x20, 0xFF):
            path.write_bytes(data[:place] + bytes([data[place] ^ change]) + data[place + 1 :])
            found, said = outcome(read)
            assert found == whole if said is None else "\n" not in said, (place, change)
            refused += said is not None
    path.write_bytes(data)
    return refused


def test_every_byte_of_a_sealed_record_counts(path: Path) -> None:
    n = len(path.read_bytes())
    assert assert_every_change_shows(path, lambda: read(path), range(n)) > 2.5 * n


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ("0.5", "NaN"),
        ("0.5", "Infinity"),
        ("0.5", "1e999"),
        ("0.5", "5" * 5000),
        ("0.5", "[" * 100_000),
        ('"is": true', '"is": true, "is": true'),
        ("☃", "\\ud800"),
        (FORM, "margin-test/2"),
        ('"checksum"', '"checksums"'),
    ],
)
def test_what_we_cannot_have_written_is_refused_in_one_line(path: Path, was: str, now: str) -> None:
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(was, now, 1), encoding="utf-8")
    said = refusal(lambda: read(path))
    assert str(path) in said
    assert AGAIN in said
    assert len(said) < 400


def test_another_layout_and_a_byte_order_mark_leave_a_record_what_it_is(path: Path) -> None:
    whole = read(path)
    record = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(dict(reversed(record.items())), indent=7), encoding="utf-8-sig")
    assert read(path) == whole


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run of four prompts under two modes, its files and their checksums."""
    folder = tmp_path / "run"
    (folder / "shards").mkdir(parents=True)
    ids, modes = [f"p{i}" for i in range(4)], ["pos", "neg"]
    rng = np.random.default_rng(0)
    states: dict[str, np.ndarray[Any, Any]] = {
        "row": np.arange(8),
        "state": rng.standard_normal((8, 3)).astype(np.float32),
    }
    write_shard(folder / "shards/00000.safetensors", states)
    pd.DataFrame({"id": ids, "prompt": ["one", "two", "three", "four"]}).to_parquet(
        folder / "prompts.parquet"
    )
    rows = pd.DataFrame({"row": range(8), "prompt_id": np.repeat(ids, 2), "condition": modes * 4})
    rows = rows.assign(kind="mode", mode=rows["condition"], draw=0)
    rows.to_parquet(folder / "rows.parquet")
    identity = {
        "model": "tiny",
        "modes": [{"name": name, "safe": True, "fingerprint": "00ff"} for name in modes],
        "conditions": modes,
        "layers": [],
        "save_logits": False,
        "seed": 0,
    }
    counts = {"prompts": 4, "rows": 8, "shards": 1, "vocabulary": 9}
    head = {"scale": 1.0, "softcap": None}
    return keep(Run(folder, tiny_manifest(identity, counts=counts, head=head)))


def keep(run: Run, **changes: Any) -> Run:
    """The run with its files as they are now, however they came to be so, and a manifest that says so."""
    names = [path.relative_to(run.path).as_posix() for path in run.path.rglob("*.[ps]a*")]
    files = {name: sha256_of(run.path / name) for name in names}
    record = {**run.manifest.to_dict(), "files": files, **changes}
    (run.path / "manifest.json").write_text(json.dumps(sealed(record)))
    return open_run(run.path)


JUDGED = pd.DataFrame(
    {
        "row": range(8),
        "label": ["good", "bad"] * 4,
        "family": [None, "sorry"] * 4,
        "constructive": [0.0, 1.0, 2.0, 0.0] * 2,
        "safety": [0.25, -1.0] * 4,
    }
)


def test_every_byte_of_judgements_counts(run: Run) -> None:
    path = write_judgements(Judgements("me", JUDGED, {"pos": "good"}), run)

    def said() -> Any:
        found = read_judgements(run)
        return found and (found.judge, dict(found.expected), found.table.to_csv(), list(found.table.dtypes))

    whole = said()
    assert whole[0] == "me"
    places = [int(place) for place in np.linspace(0, len(path.read_bytes()) - 1, 400)]
    assert assert_every_change_shows(path, said, places) > 100


def test_judgements_of_an_earlier_version_are_to_be_made_again(run: Run) -> None:
    (run.path / NAME).write_bytes(b"PAR1")
    assert "run margin judge again" in refusal(lambda: read_judgements(run))
    JUDGED.to_parquet(run.path / NAME)
    assert "run margin judge again" in refusal(lambda: read_judgements(run))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"safety": 1.5}, "safety must be a number, from -1 to 1, not 1.5"),
        ({"safety": float("nan")}, "safety must be a number"),
        ({"helpfulness": -0.1}, "helpfulness must be a number, from 0 to 1"),
        ({"constructive": 0.5}, "constructive must be a number, 0, 1 or 2"),
        ({"constructive": "high"}, "constructive must be a number, 0, 1 or 2"),
        ({"label": 3}, "a label that is no text"),
        ({"label": ""}, "a label that is no text"),
        ({"row": 0}, "labels row 0 twice"),
        ({"row": 0.5}, "no table of rows and labels"),
    ],
)
def test_a_judge_gives_labels_and_scores_in_their_range(change: dict[str, Any], says: str) -> None:
    assert says in refusal(lambda: Judgements("me", JUDGED.assign(**change)))


@pytest.mark.parametrize(
    ("identity", "counts", "says"),
    [
        ({"modes": "pos"}, {}, "identity.modes"),
        ({"modes": [{"name": 3}]}, {}, "identity.modes"),
        ({"layers": ["last"]}, {}, "identity.layers"),
        ({"positions": 0}, {}, "identity.positions"),
        ({"model": None}, {}, "identity.model"),
        ({"seed": -1}, {}, "identity.seed"),
        ({}, {"rows": -8}, "counts.rows"),
        ({}, {"rows": 7}, "8 rows, its manifest says 7"),
        ({}, {"prompts": 5}, "4 prompts, its manifest says 5"),
        ({"modes": [{"name": "pos", "safe": True}]}, {}, "other modes"),
    ],
)
def test_a_manifest_edited_with_its_checksum_is_refused_in_one_line(
    run: Run, identity: dict[str, Any], counts: dict[str, int], says: str
) -> None:
    there = run.manifest.to_dict()
    changes = {"identity": there["identity"] | identity, "counts": there["counts"] | counts}
    assert says in refusal(lambda: keep(run, **changes))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"environment": []}, "environment"),
        ({"batching": "prefix"}, "batching"),
        ({"tail": 5}, "tail"),
        ({"head": {}}, "head.scale, head.softcap"),
        ({"throughput": {"rows": 3}}, "throughput.rows_per_s"),
        ({"noise_floor": {"rows": -3, "state_error": 0.0}}, "noise_floor.rows"),
        ({"noise_floor": 3}, "at noise_floor (should be an object)"),
        ({"counts": {"rows": True, "shards": 1, "vocabulary": 9}}, "counts.rows (should be a valid integer)"),
        ({"files": {"prompts.parquet": 3}}, "files.prompts.parquet (should be a valid string)"),
    ],
)
def test_other_parts_of_a_manifest_are_what_their_readers_go_by(
    run: Run, changes: dict[str, Any], says: str
) -> None:
    said = refusal(lambda: keep(run, **changes))
    assert says in said
    assert "manifest.json" in said


def test_a_head_of_another_vocabulary_is_refused(run: Run) -> None:
    save_file({"marginals": np.ones((2, 9), dtype=np.float32)}, run.path / "head.safetensors")
    assert run.marginals().shape == (2, 9)
    counted = keep(run, counts=run.manifest.counts.to_dict() | {"vocabulary": 8})
    assert "another vocabulary than the 8 tokens" in refusal(counted.marginals)


def test_a_noise_floor_without_its_file_is_said_not_to_be_there(run: Run) -> None:
    kept = keep(run, noise_floor={"rows": 2, "state_error": 0.0})
    assert "holds no repeated rows" in refusal(kept.repeats)


@pytest.mark.parametrize(
    "change",
    [lambda r: {**r, "identity": []}, lambda r: {k: v for k, v in r.items() if k != "counts"}],
)
def test_a_manifest_that_says_other_things_is_none(run: Run, change: Callable[[Any], Any]) -> None:
    record = run.manifest.to_dict()
    (run.path / "manifest.json").write_text(json.dumps(sealed(change(record))))
    assert "does not say what a manifest says" in refusal(lambda: read_manifest(run.path))


def test_keys_of_a_later_version_are_kept_and_tell_runs_apart(run: Run) -> None:
    record = run.manifest.to_dict()
    record |= {"more": [1], "identity": record["identity"] | {"layout": {"of": "later"}}}
    (run.path / "manifest.json").write_text(json.dumps(sealed(record)))
    found = read_manifest(run.path)
    assert found.to_dict() == record
    assert found.digest != run.manifest.digest
    found.write(run.path)
    assert read_manifest(run.path).to_dict() == record
    with pytest.raises(MarginError, match="layout"):
        found.require_same(run.manifest, run.path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda rows: rows.iloc[:-1], "7 rows, its manifest says 8"),
        (lambda rows: rows.iloc[::-1], "not numbered in their order"),
        (lambda rows: rows.assign(prompt_id="p9"), "other prompts than it holds"),
        (lambda rows: rows.assign(condition="rej"), "other modes"),
        (lambda rows: rows.drop(columns="kind"), "lack columns"),
    ],
)
def test_rows_that_are_not_those_of_the_run_are_refused(
    run: Run, change: Callable[[pd.DataFrame], pd.DataFrame], says: str
) -> None:
    change(pd.read_parquet(run.path / "rows.parquet")).to_parquet(run.path / "rows.parquet", index=False)
    assert says in refusal(lambda: keep(run))


def test_a_file_that_is_as_its_manifest_says_and_no_table_is_refused(run: Run) -> None:
    (run.path / "rows.parquet").write_bytes(b"PAR1 no PAR1")
    assert "rows.parquet cannot be read" in refusal(lambda: keep(run))


@pytest.mark.parametrize(
    ("rows", "says"),
    [([0, 1, 2], "1 of 4 rows not once"), ([0, 1, 2, 2], "rows not once"), ([0, 1, 2, 9], "other rows")],
)
def test_shards_that_are_not_of_the_runs_rows_are_refused(tmp_path: Path, rows: list[int], says: str) -> None:
    path = tmp_path / "00000.safetensors"
    write_shard(path, {"row": np.array(rows), "state": np.ones((len(rows), 2), dtype=np.float32)})
    assert says in refusal(lambda: read_rows([path], "state", 4))
    assert "cannot be read" in refusal(lambda: read_rows([path], "layer.1", 4))
