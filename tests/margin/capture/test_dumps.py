"""Each engine's own files are read, by what stands in them; what is no dump is refused in a line."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from margin.capture.asked import AskedRow, asked_rows
from margin.capture.checkpoint import Checkpoint
from margin.capture.dumps import read_dump
from margin.capture.faults import StatesRefusedError
from margin.capture.imported import import_states
from margin.errors import MarginError
from margin.inputs.modes import ModeSet
from margin.run.run import Run
from tests.margin.capture.other_engine import Computed, compute


@pytest.fixture(scope="module")
def checkpoint(make_checkpoint: Callable[..., Checkpoint]) -> Checkpoint:
    return make_checkpoint()


@pytest.fixture(scope="module")
def asked(prompts: list[str], modes: ModeSet) -> dict[str, Any]:
    return {"prompts": prompts[:4], "modes": modes, "decoys": 0, "noise_prompts": 2, "quiet": True}


@pytest.fixture(scope="module")
def rows(checkpoint: Checkpoint, asked: dict[str, Any]) -> list[AskedRow]:
    return asked_rows(checkpoint, **asked)


@pytest.fixture(scope="module")
def right(checkpoint: Checkpoint, rows: list[AskedRow]) -> Computed:
    return compute(checkpoint.model, [row.ids for row in rows])


@pytest.fixture(scope="module")
def streams(checkpoint: Checkpoint, rows: list[AskedRow]) -> list[NDArray[np.float32]]:
    """(layers, tokens, d) of each row: the embeddings, and what each block puts out at every token."""
    found = []
    for row in rows:
        of_row = compute(checkpoint.model, [row.ids[:length] for length in range(1, len(row.ids) + 1)])
        found.append(np.stack(of_row.layers))
    return found


@pytest.fixture
def bring(checkpoint: Checkpoint, asked: dict[str, Any], tmp_path: Path) -> Callable[..., Run]:
    def importing(path: Path, **options: Any) -> Run:
        out = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
        return import_states(path, model=checkpoint, out=out, sample=4, **asked, **options)

    return importing


def holds(run: Run, right: Computed, layers: list[int]) -> None:
    """A run holds the right final states, and these layers."""
    np.testing.assert_allclose(run.states(), right.states, rtol=1e-4, atol=1e-5)
    assert run.layers == layers
    for layer in layers:
        np.testing.assert_allclose(run.layer(layer), right.layers[layer], rtol=1e-4, atol=1e-5)


def test_safetensors_name_their_rows_in_the_metadata(
    rows: list[AskedRow], right: Computed, bring: Callable[..., Run], tmp_path: Path
) -> None:
    about = {
        "prompt_id": json.dumps([row.prompt_id for row in rows]),
        "condition": json.dumps([row.condition for row in rows]),
    }
    arrays = {"states": torch.from_numpy(right.states), "layer.2": torch.from_numpy(right.layers[2])}
    save_file(arrays, tmp_path / "states.safetensors", metadata=about)
    holds(bring(tmp_path / "states.safetensors"), right, [2])


def test_parquet_has_a_column_of_lists(
    rows: list[AskedRow], right: Computed, bring: Callable[..., Run], tmp_path: Path
) -> None:
    order = np.random.default_rng(0).permutation(len(rows))
    table = pa.table(
        {
            "prompt_id": [rows[place].prompt_id for place in order],
            "condition": [rows[place].condition for place in order],
            "states": [right.states[place].tolist() for place in order],
        }
    )
    pq.write_table(table, tmp_path / "states.parquet")
    holds(bring(tmp_path / "states.parquet"), right, [])


def test_parquet_knows_rows_by_their_token_ids(
    rows: list[AskedRow], right: Computed, bring: Callable[..., Run], tmp_path: Path
) -> None:
    states = pa.FixedSizeListArray.from_arrays(pa.array(right.states.ravel()), right.states.shape[1])
    pq.write_table(
        pa.table({"token_ids": [row.ids for row in rows], "states": states}), tmp_path / "states.parquet"
    )
    holds(bring(tmp_path / "states.parquet"), right, [])


@pytest.fixture
def of_vllm(
    rows: list[AskedRow], streams: list[NDArray[np.float32]], tmp_path: Path
) -> Callable[[list[int]], Path]:
    """A folder as vLLM's connector leaves it, with these of its layers."""

    def write(layers: list[int]) -> Path:
        folder = tmp_path / "hidden_states"
        folder.mkdir()
        for number, (row, stream) in enumerate(zip(rows, streams, strict=True)):
            hidden = torch.from_numpy(stream[layers]).transpose(0, 1).contiguous()
            name = folder / f"{number}-8f3a.safetensors"
            save_file({"hidden_states": hidden, "token_ids": torch.tensor(row.ids)}, name)
            (folder / f"{name.name}.lock").touch()
        return folder

    return write


def test_what_vllm_saves_of_its_last_layer_is_brought_through_the_final_norm(
    of_vllm: Callable[[list[int]], Path], right: Computed, bring: Callable[..., Run]
) -> None:
    run = bring(of_vllm([3]))
    holds(run, right, [3])
    assert run.manifest.imported is not None
    assert (run.manifest.imported.engine, run.manifest.imported.final_norm) == ("vllm", "here")


def test_layers_that_vllm_saves_are_named_by_who_asked_for_them(
    of_vllm: Callable[[list[int]], Path], right: Computed, bring: Callable[..., Run]
) -> None:
    folder = of_vllm([0, 2, 3])
    with pytest.raises(MarginError, match=r"holds 3 layers and does not say which: .*--dump-layers"):
        bring(folder)
    with pytest.raises(MarginError, match="holds 3 layers, and --dump-layers names 2"):
        bring(folder, dump_layers=[2, 3])
    with pytest.raises(StatesRefusedError, match=r"layer\.1: another layer: .* the states of layer\.2"):
        bring(folder, dump_layers=[0, 1, 3])
    with pytest.raises(MarginError, match="layer 9: this model has layers 0 to 3"):
        bring(folder, dump_layers=[0, 2, 9])
    holds(bring(folder, dump_layers=[0, 2, 3]), right, [0, 2, 3])


def test_vllm_without_the_last_layer_leaves_nothing_to_measure(
    of_vllm: Callable[[list[int]], Path], bring: Callable[..., Run]
) -> None:
    with pytest.raises(MarginError, match="nor the output of the last block, layer 3"):
        bring(of_vllm([1]), dump_layers=[1])


def test_a_request_of_vllm_that_was_cut_is_refused(
    of_vllm: Callable[[list[int]], Path], rows: list[AskedRow], bring: Callable[..., Run]
) -> None:
    folder = of_vllm([3])
    ids = torch.tensor(rows[0].ids)
    save_file(
        {"hidden_states": torch.zeros(len(ids) - 16, 1, 32), "token_ids": ids},
        folder / "0-8f3a.safetensors",
    )
    with pytest.raises(MarginError, match=r"0-8f3a.safetensors: .*were all tokens kept"):
        bring(folder)


def test_a_request_of_vllm_that_is_missing_is_named_by_its_prompt(
    of_vllm: Callable[[list[int]], Path], rows: list[AskedRow], bring: Callable[..., Run]
) -> None:
    folder = of_vllm([3])
    (folder / "0-8f3a.safetensors").unlink()
    with pytest.raises(MarginError) as caught:
        bring(folder)
    assert f"it lacks 1 of 12 rows, {rows[0].prompt_id} ({rows[0].condition})" in str(caught.value)
    assert str(rows[0].ids[:3])[1:-1] not in str(caught.value)


def as_vllm_lens(values: Tensor) -> dict[str, Any]:
    """A tensor as vllm-lens puts it into a response."""
    narrow = values.dtype == torch.bfloat16
    data = (values.view(torch.int16) if narrow else values).numpy()
    return {
        "data": base64.b64encode(pa.Codec("zstd").compress(data.tobytes(), asbytes=True)).decode(),
        "dtype": str(data.dtype),
        "original_dtype": str(values.dtype),
        "shape": list(data.shape),
        "compression": "zstd",
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("chat", [True, False])
def test_responses_of_vllm_lens_are_read_with_what_was_generated_behind_the_prompt(
    dtype: torch.dtype,
    chat: bool,
    rows: list[AskedRow],
    streams: list[NDArray[np.float32]],
    right: Computed,
    bring: Callable[..., Run],
    tmp_path: Path,
) -> None:
    path = tmp_path / "responses.jsonl"
    lines = []
    for row, stream in zip(rows, streams, strict=True):
        answered = np.concatenate([stream[1:], np.ones_like(stream[1:, :2])], axis=1)
        activations = {"residual_stream": as_vllm_lens(torch.from_numpy(answered).to(dtype))}
        where: dict[str, Any] = {"index": 0, "text": "said"}
        response: dict[str, Any] = {"id": "cmpl-1", "choices": [where], "activations": activations}
        (response if chat else where)["prompt_token_ids"] = row.ids
        lines.append(json.dumps(response))
    path.write_text("\n".join(lines))
    run = bring(path, dump_layers=[0, 1, 2])
    assert run.manifest.imported is not None
    assert run.manifest.imported.precision == str(dtype).removeprefix("torch.")
    if dtype == torch.float32:
        holds(run, right, [1, 2, 3])
    else:
        np.testing.assert_allclose(run.states(), right.states, atol=0.05)


@pytest.mark.parametrize(
    ("response", "said"),
    [
        ({"activations": {}}, "line 1 has no prompt_token_ids"),
        ({"prompt_token_ids": [1]}, "line 1 has no activations.residual_stream"),
        (
            {"prompt_token_ids": [1], "activations": {"residual_stream": {"handle": "x"}}},
            "and not with a binary transport",
        ),
        (
            {
                "prompt_token_ids": [1, 2],
                "activations": {"residual_stream": as_vllm_lens(torch.zeros(1, 1, 4))},
            },
            r"shape \(1, 1, 4\) for 2 tokens",
        ),
        (
            {
                "prompt_token_ids": [1],
                "activations": {"residual_stream": as_vllm_lens(torch.zeros(1, 1, 4)) | {"shape": [9, 9, 9]}},
            },
            "line 1: the residual_stream cannot be decoded",
        ),
    ],
)
def test_responses_that_do_not_hold_what_is_needed_say_what_to_ask_for(
    response: dict[str, Any], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "responses.jsonl"
    path.write_text(json.dumps(response))
    with pytest.raises(MarginError, match=said):
        read_dump(path, None)


@pytest.mark.parametrize("hook", ["blocks.{}.hook_out", "blocks.{}.hook_resid_post"])
def test_files_of_transformer_lens_stand_in_a_folder_for_each_condition(
    hook: str,
    rows: list[AskedRow],
    streams: list[NDArray[np.float32]],
    right: Computed,
    bring: Callable[..., Run],
    tmp_path: Path,
) -> None:
    folder = tmp_path / "activations"
    for row, stream in zip(rows, streams, strict=True):
        (folder / row.condition).mkdir(parents=True, exist_ok=True)
        arrays = {hook.format(1): stream[2], hook.format(2): stream[3][None]}
        file = folder / row.condition / f"{row.prompt_id}_epoch1.npz"
        np.savez_compressed(file, allow_pickle=False, **arrays)
    run = bring(folder)
    holds(run, right, [2, 3])
    assert run.manifest.imported is not None
    assert run.manifest.imported.engine == "transformer-lens"


@pytest.mark.parametrize("name", ["cache.pt", "cache.pkl", "folder/cache.pth"])
def test_what_is_pickled_is_never_opened(name: str, tmp_path: Path) -> None:
    """Opened, this would raise something else."""
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    with pytest.raises(MarginError, match="can run code as it is read: save it with safetensors"):
        read_dump(path if path.parent == tmp_path else path.parent, None)


@pytest.mark.parametrize("kind", ["npz", "parquet"])
def test_names_may_be_kept_as_bytes(
    rows: list[AskedRow], right: Computed, bring: Callable[..., Run], tmp_path: Path, kind: str
) -> None:
    names = {
        "prompt_id": [row.prompt_id.encode() for row in rows],
        "condition": [row.condition.encode() for row in rows],
    }
    path = tmp_path / f"states.{kind}"
    if kind == "npz":
        np.savez(path, allow_pickle=False, states=right.states, **{k: np.array(v) for k, v in names.items()})
    else:
        pq.write_table(pa.table({**names, "states": right.states.tolist()}), path)
    holds(bring(path), right, [])


def test_objects_in_an_npz_are_never_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "states.npz", states=np.ones((1, 2)), prompt_id=np.array(["a"], dtype=object))
    with pytest.raises(MarginError, match=r"names as np.array\(ids, dtype=str\)"):
        read_dump(tmp_path / "states.npz", None)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({}, "holds neither states nor layer.L"),
        ({"states": np.ones((2, 3))}, "does not say which rows it is of"),
        ({"states": np.ones((2, 3)), "prompt_id": ["a", "b"], "condition": ["x"]}, "not of one length"),
        (
            {"states": np.ones((3, 3)), "prompt_id": ["a", "b"], "condition": ["x", "x"]},
            r"states is of shape \(3, 3\), and there are 2 rows",
        ),
        (
            {"states": np.ones((2, 5, 3)), "prompt_id": ["a", "b"], "condition": ["x", "x"]},
            r"states is of shape \(2, 5, 3\)",
        ),
        ({"states": np.ones((1, 3)), "token_ids": [1, 2], "n_tokens": [3]}, "n_tokens does not add up"),
        (
            {"states": np.ones((1, 3)), "prompt_id": ["a"], "condition": ["x"], "draw": ["one"]},
            "draw holds what is no whole number",
        ),
    ],
)
def test_arrays_that_say_too_little_are_refused(arrays: dict[str, Any], said: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "states.npz", allow_pickle=False, **{k: np.asarray(v) for k, v in arrays.items()})
    with pytest.raises(MarginError, match=said):
        read_dump(tmp_path / "states.npz", None)


@pytest.mark.parametrize("name", ["states.npz", "states.safetensors", "states.parquet", "states.jsonl"])
@pytest.mark.parametrize("content", [b"", b"no such file", b"\x80\x04K\x01."])
def test_torn_files_are_a_line(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(MarginError) as caught:
        read_dump(tmp_path / name, None)
    assert "\n" not in str(caught.value)


def test_nothing_and_what_is_no_dump_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(MarginError, match="there are no states at"):
        read_dump(tmp_path / "nothing", None)
    (tmp_path / "notes.txt").write_text("notes")
    with pytest.raises(
        MarginError, match=r"is no dump that is known: .* what vllm, vllm-lens, transformer-lens"
    ):
        read_dump(tmp_path / "notes.txt", None)
