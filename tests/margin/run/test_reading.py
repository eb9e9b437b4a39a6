"""A run is read back as it was written, in row order, without torch; what is not a whole run is refused."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from margin.errors import IncomparableError, MarginError
from margin.run.differences import differences
from margin.run.files import sha256_of, write_atomic
from margin.run.manifest import read_manifest
from margin.run.run import Run, open_run
from margin.run.shards import is_intact, is_whole, shard_path, write_shard
from tests.tiny_manifests import tiny_manifest

N, D, K = 6, 4, 3


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    """What a run of six rows holds, in row order."""
    rng = np.random.default_rng(0)
    return {
        "state": rng.standard_normal((N, D)).astype(np.float32),
        "layer.2": rng.standard_normal((N, D)).astype(np.float32),
        "topk_ids": rng.integers(0, 99, (N, K)).astype(np.int32),
        "topk_logits": rng.standard_normal((N, K)).astype(np.float32),
        "logsumexp": rng.standard_normal(N).astype(np.float32),
    }


@pytest.fixture
def run(tmp_path: Path, arrays: dict[str, np.ndarray]) -> Run:
    """Six rows in two shards, out of order, one of them with a layer in half precision."""
    (tmp_path / "shards").mkdir()
    for index, rows in enumerate(([5, 0, 2], [1, 4, 3])):
        part = {name: values[rows] for name, values in arrays.items()} | {"row": np.array(rows)}
        if index:
            part["layer.2"] = part["layer.2"].astype(np.float16)
        write_shard(shard_path(tmp_path, index), part)
    ids = ["a", "b"]
    modes = ["pos", "neg", "rej"]
    pd.DataFrame({"id": ids, "prompt": ["one", "two"]}).to_parquet(tmp_path / "prompts.parquet")
    rows = pd.DataFrame({"row": range(N), "prompt_id": np.repeat(ids, 3), "condition": modes * 2})
    rows.assign(kind="mode", mode=modes * 2, draw=0).to_parquet(tmp_path / "rows.parquet")
    pd.DataFrame({"prompt_id": ids, "mode_a": "pos", "mode_b": "neg", "js_bits": 0.5}).to_parquet(
        tmp_path / "pairs.parquet"
    )
    save_file(
        {"hellinger.rows": np.arange(N), "hellinger.products": np.eye(N)}, tmp_path / "head.safetensors"
    )
    names = [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")]
    identity = {
        "model": "tiny",
        "conditions": modes,
        "seed": 0,
        "modes": [{"name": name, "safe": True, "fingerprint": "00ff"} for name in modes],
        "layers": [2],
        "save_logits": False,
    }
    tiny_manifest(
        identity,
        tail="<|assistant|>",
        counts={"rows": N, "shards": 2, "vocabulary": 99},
        head={"scale": 1.0, "softcap": None},
        files={name: sha256_of(tmp_path / name) for name in names},
    ).write(tmp_path)
    return open_run(tmp_path)


def test_arrays_come_back_in_row_order(run: Run, arrays: dict[str, np.ndarray]) -> None:
    np.testing.assert_array_equal(run.states(), arrays["state"])
    np.testing.assert_array_equal(run.logsumexp(), arrays["logsumexp"])
    ids, logits = run.topk()
    np.testing.assert_array_equal(ids, arrays["topk_ids"])
    np.testing.assert_array_equal(logits, arrays["topk_logits"])
    layer = run.layer(2)
    assert layer.dtype == np.float32
    np.testing.assert_array_equal(layer[[5, 0, 2]], arrays["layer.2"][[5, 0, 2]])
    np.testing.assert_allclose(layer, arrays["layer.2"], rtol=1e-3)


def test_tables_and_names_come_back(run: Run) -> None:
    assert run.modes == ["pos", "neg", "rej"]
    assert run.layers == [2]
    assert run.prompts["prompt"].tolist() == ["one", "two"]
    assert run.rows["condition"].tolist() == ["pos", "neg", "rej"] * 2
    assert run.pairs["js_bits"].tolist() == [0.5, 0.5]
    assert "one" not in repr(run)


def test_what_was_not_captured_is_refused(run: Run) -> None:
    with pytest.raises(MarginError, match=r"holds no layer 7: it has \[2\]"):
        run.layer(7)
    with pytest.raises(MarginError, match="holds no full logits"):
        run.logits()


@pytest.mark.parametrize("name", ["shards/00001.safetensors", "pairs.parquet", "manifest.json"])
def test_a_missing_file_is_named(run: Run, name: str) -> None:
    (run.path / name).unlink()
    with pytest.raises(MarginError, match=name):
        open_run(run.path)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MarginError, match="is no run"):
        open_run(tmp_path)


@pytest.mark.parametrize("text", ["{", "[1]", '{"format": "margin-run/9"}', "\xff\xfe"])
def test_a_manifest_of_another_kind_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(MarginError, match=r"manifest\.json"):
        open_run(tmp_path)


def test_an_edited_manifest_is_refused(run: Run) -> None:
    path = run.path / "manifest.json"
    record = json.loads(path.read_text())
    record["identity"]["modes"][1]["safe"] = False
    path.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    with pytest.raises(MarginError, match="not as it was written"):
        read_manifest(run.path)


def test_a_shard_of_other_rows_is_not_taken_for_this_one(run: Run) -> None:
    shard = shard_path(run.path, 0)
    assert is_whole(shard, np.array([5, 0, 2]))
    assert not is_whole(shard, np.array([5, 0, 3]))
    assert not is_whole(shard, np.array([5, 0]))


@pytest.mark.parametrize("length", [0, 4, 8, 100, -1])
def test_a_shard_cut_short_is_found(run: Run, length: int) -> None:
    shard = shard_path(run.path, 0)
    shard.write_bytes(shard.read_bytes()[:length])
    assert not is_intact(shard)


def test_every_bit_of_a_shard_counts(run: Run) -> None:
    shard = shard_path(run.path, 1)
    data = shard.read_bytes()
    for place in range(len(data)):
        shard.write_bytes(data[:place] + bytes([data[place] ^ (1 << place % 8)]) + data[place + 1 :])
        assert not is_intact(shard), place


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_differences_are_named_one_by_one() -> None:
    old = {"dtype": "float32", "chat": {"think": True, "lang": "en"}, "layers": [3]}
    new = {"dtype": "bfloat16", "chat": {"think": False, "lang": "en"}, "layers": [3], "top_k": 5}
    assert differences(old, new, ("there", "here")) == [
        "dtype: float32 there, bfloat16 here",
        "chat.think: true there, false here",
        "top_k: nothing there, 5 here",
    ]


def test_differences_of_lists_and_digests_are_said_by_what_differs() -> None:
    modes = [{"name": "pos", "fingerprint": "1a"}, {"name": "neg", "fingerprint": "2b"}]
    old = {"controls": ["none"], "modes": modes, "weights": "a" * 64, "prefix": "", "layers": [1, 2]}
    changed = [modes[0], {"name": "neg", "fingerprint": "3c"}]
    new = {"controls": ["random"], "modes": changed, "weights": "b" * 64, "prefix": " Well", "layers": [2, 1]}
    assert differences(old, new, ("there", "here")) == [
        "controls: none only there and random only here",
        "modes.neg.fingerprint: 2b there, 3c here",
        "weights: other content (aaaaaaaa there, bbbbbbbb here)",
        "prefix: nothing there, ' Well' here",
        "layers: the same in another order",
    ]


def test_of_two_long_texts_the_place_where_they_differ_is_shown() -> None:
    old, new = (f"{'a' * 300}Today: {day} Nov 2026\n{'b' * 300}" for day in ("26", "27"))
    (line,) = differences({"head": old}, {"head": new}, ("there", "here"))
    assert line == "head: '...aaaaToday: 26 Nov 2026\\nbb...' there, '...aaaaToday: 27 Nov 2026\\nbb...' here"
    (line,) = differences({"head": "x" * 60}, {"head": "x" * 61}, ("there", "here"))
    assert line.count("xxxx") > 2
    (line,) = differences({"head": old}, {"head": "\x1b[2J" + new}, ("there", "here"))
    assert "\x1b" not in line


def test_numbers_differ_by_more_than_rounding() -> None:
    old = {"sum": -116.664311, "list": [0.1, 1], "flag": True, "count": 1}
    assert differences(old, old | {"sum": -116.66431100001, "list": [0.1 + 1e-12, 1.0]}, ("a", "b")) == []
    assert differences(old, old | {"sum": -116.66}, ("a", "b")) == ["sum: -116.664311 a, -116.66 b"]
    assert differences(old, old | {"flag": 1, "count": 2}, ("a", "b")) == [
        "flag: true a, 1 b",
        "count: 1 a, 2 b",
    ]


def test_another_identity_is_incomparable(run: Run) -> None:
    other = run.manifest.replace(identity=run.manifest.identity.replace(layers=[0]))
    run.manifest.require_same(run.manifest, run.path)
    with pytest.raises(IncomparableError, match=r"layers: 2 only there and 0 only here") as refusal:
        run.manifest.require_same(other, run.path)
    assert refusal.value.exit_code == 4


def test_a_run_is_read_where_torch_cannot_be_imported(run: Run) -> None:
    script = (
        "import sys; sys.modules['torch'] = sys.modules['transformers'] = None\n"
        f"import margin; run = margin.open_run({str(run.path)!r})\n"
        "run.verify(); print(run.states().shape, len(run.rows))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == f"({N}, {D}) {N}", done.stderr


def test_a_run_is_read_whatever_its_folder_is_called(run: Run, tmp_path: Path) -> None:
    for name in (b"caf\xe9", b"s3:bucket", b"seed=1", b"a b%20c#d?e", b"line\nend"):
        folder = tmp_path.parent / f"{tmp_path.name}-named" / os.fsdecode(name)
        shutil.copytree(tmp_path, folder)
        again = open_run(folder)
        assert again.prompts.equals(run.prompts)
        assert again.rows.equals(run.rows)
        assert np.array_equal(again.states(), run.states())
