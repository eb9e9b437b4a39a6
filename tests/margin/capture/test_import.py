"""States of another engine become a run only where rows run again agree; faults are called by name."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from transformers import Gemma2Config, GPT2Config, PreTrainedConfig

from margin.capture.asked import AskedRow, asked_rows
from margin.capture.checkpoint import Checkpoint, load_checkpoint
from margin.capture.collect import collect
from margin.capture.faults import StatesRefusedError
from margin.capture.imported import import_states
from margin.demo import checkpoint_path, modes_path, prompts_path
from margin.errors import IncomparableError, MarginError
from margin.inputs.modes import ModeSet
from margin.report.analyse import analyse
from margin.run.manifest import read_manifest
from margin.run.run import Run, open_run
from tests.margin.capture.other_engine import Computed, answer, compute, in_16_bits

Arrays = dict[str, NDArray[Any]]
ROWS = 24
"""Eight prompts under three modes."""


@pytest.fixture(scope="module")
def checkpoint(make_checkpoint: Callable[..., Checkpoint]) -> Checkpoint:
    return make_checkpoint()


@pytest.fixture(scope="module")
def asked(prompts: list[str], modes: ModeSet) -> dict[str, Any]:
    """What is asked in every test here."""
    return {"prompts": prompts[:8], "modes": modes, "decoys": 0, "noise_prompts": 2, "quiet": True}


@pytest.fixture(scope="module")
def rows(checkpoint: Checkpoint, asked: dict[str, Any]) -> list[AskedRow]:
    found = asked_rows(checkpoint, **asked)
    assert len(found) == ROWS
    return found


@pytest.fixture(scope="module")
def right(checkpoint: Checkpoint, rows: list[AskedRow]) -> Computed:
    return compute(checkpoint.model, [row.ids for row in rows])


@pytest.fixture(scope="module")
def unsystematic(checkpoint: Checkpoint, prompts: list[str]) -> list[list[int]]:
    """Token ids of the rows as an engine runs them whose template writes no system message."""
    texts = [text for text in prompts[:8] for _ in range(3)]
    rendered = [
        checkpoint.tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True
        )
        for text in texts
    ]
    return [checkpoint.tokenizer(str(text), add_special_tokens=False)["input_ids"] for text in rendered]


def names(rows: list[AskedRow]) -> Arrays:
    return {
        "prompt_id": np.array([row.prompt_id for row in rows]),
        "condition": np.array([row.condition for row in rows]),
        "draw": np.array([row.draw for row in rows]),
    }


@pytest.fixture
def bring(
    checkpoint: Checkpoint, asked: dict[str, Any], rows: list[AskedRow], tmp_path: Path
) -> Callable[..., Run]:
    """Imports arrays that are saved with the names of the rows."""

    def importing(arrays: Mapping[str, NDArray[Any]], sample: int = 6, **options: Any) -> Run:
        np.savez(tmp_path / "states.npz", allow_pickle=False, **names(rows), **arrays)
        path = tmp_path / "states.npz"
        return import_states(
            path, model=checkpoint, out=tmp_path / "run", sample=sample, **{**asked, **options}
        )

    return importing


Plant = Callable[[Checkpoint, list[AskedRow], Computed], Arrays]


def before_norm(checkpoint: Checkpoint, rows: list[AskedRow], right: Computed) -> Arrays:
    return {"states": right.before_norm}


def a_position_early(checkpoint: Checkpoint, rows: list[AskedRow], right: Computed) -> Arrays:
    return {"states": compute(checkpoint.model, [row.ids[:-1] for row in rows]).states}


def three_positions_early(checkpoint: Checkpoint, rows: list[AskedRow], right: Computed) -> Arrays:
    return {"states": compute(checkpoint.model, [row.ids[:-3] for row in rows]).states}


def a_position_late(checkpoint: Checkpoint, rows: list[AskedRow], right: Computed) -> Arrays:
    longer = [[*row.ids, answer(checkpoint.model, row.ids)] for row in rows]
    return {"states": compute(checkpoint.model, longer).states}


def another_prompt(checkpoint: Checkpoint, rows: list[AskedRow], right: Computed) -> Arrays:
    return {"states": np.roll(right.states, 3, axis=0)}


def modes_swapped(checkpoint: Checkpoint, rows: list[AskedRow], right: Computed) -> Arrays:
    return {"states": right.states.reshape(8, 3, -1)[:, [1, 0, 2]].reshape(ROWS, -1)}


def one_for_all(checkpoint: Checkpoint, rows: list[AskedRow], right: Computed) -> Arrays:
    """A buffer that is not written anew, and held something else to begin with."""
    return {"states": np.repeat(right.states[:1] * np.float32(1.5), ROWS, axis=0)}


def no_beginning(checkpoint: Checkpoint, rows: list[AskedRow], right: Computed) -> Arrays:
    return {"states": compute(checkpoint.model, [row.ids[1:] for row in rows]).states}


def last_40_tokens(checkpoint: Checkpoint, rows: list[AskedRow], right: Computed) -> Arrays:
    assert min(len(row.ids) for row in rows) > 40
    return {"states": compute(checkpoint.model, [row.ids[-40:] for row in rows]).states}


def two_beginnings(checkpoint: Checkpoint, rows: list[AskedRow], right: Computed) -> Arrays:
    return {"states": compute(checkpoint.model, [[row.ids[0], *row.ids] for row in rows]).states}


def bfloat16_as_float16(checkpoint: Checkpoint, rows: list[AskedRow], right: Computed) -> Arrays:
    return {"states": in_16_bits(right.states, torch.bfloat16).view(torch.float16).numpy()}


def float16_as_bfloat16(checkpoint: Checkpoint, rows: list[AskedRow], right: Computed) -> Arrays:
    return {"states": in_16_bits(right.states, torch.float16).view(torch.bfloat16).float().numpy()}


def bfloat16_as_integers(checkpoint: Checkpoint, rows: list[AskedRow], right: Computed) -> Arrays:
    return {"states": in_16_bits(right.states, torch.bfloat16).view(torch.int16).numpy()}


def float64_as_float32(checkpoint: Checkpoint, rows: list[AskedRow], right: Computed) -> Arrays:
    return {"states": right.states.astype(np.float64).view(np.float32)}


def other_order_of_bytes(checkpoint: Checkpoint, rows: list[AskedRow], right: Computed) -> Arrays:
    return {"states": right.states.byteswap()}


def layers_from_one(checkpoint: Checkpoint, rows: list[AskedRow], right: Computed) -> Arrays:
    return {"states": right.states, "layer.1": right.layers[0], "layer.2": right.layers[1]}


def norm_in_a_layer(checkpoint: Checkpoint, rows: list[AskedRow], right: Computed) -> Arrays:
    return {"layer.3": right.states}


def other_weights(checkpoint: Checkpoint, rows: list[AskedRow], right: Computed) -> Arrays:
    noise = np.random.default_rng(0).normal(size=right.states.shape)
    return {"states": (right.states * (1 + 0.2 * noise)).astype(np.float32)}


def not_a_number(checkpoint: Checkpoint, rows: list[AskedRow], right: Computed) -> Arrays:
    return {"states": np.full_like(right.states, np.nan)}


def nothing_written(checkpoint: Checkpoint, rows: list[AskedRow], right: Computed) -> Arrays:
    return {"states": np.zeros_like(right.states)}


def half_as_wide(checkpoint: Checkpoint, rows: list[AskedRow], right: Computed) -> Arrays:
    return {"states": right.states[:, ::2].copy()}


PLANTED: list[tuple[Plant, str, str]] = [
    (before_norm, "before-norm states", "what goes into the final norm"),
    (a_position_early, "shifted positions", "1 position earlier"),
    (three_positions_early, "shifted positions", "3 positions earlier"),
    (a_position_late, "shifted positions", "1 position later"),
    (another_prompt, "another request's states", ""),
    (modes_swapped, "another request's states", ""),
    (one_for_all, "another request's states", "the very numbers of another row"),
    (no_beginning, "cut prefix", "without its first token"),
    (last_40_tokens, "cut prefix", "without its first"),
    (two_beginnings, "doubled beginning", "its first token twice"),
    (bfloat16_as_float16, "wrong dtype", "bfloat16, not float16"),
    (float16_as_bfloat16, "wrong dtype", "float16, not bfloat16"),
    (bfloat16_as_integers, "wrong dtype", "bfloat16, not int16"),
    (float64_as_float32, "wrong dtype", "float64, not float32"),
    (other_order_of_bytes, "wrong dtype", "other order of bytes"),
    (layers_from_one, "another layer", "layer.1: another layer"),
    (norm_in_a_layer, "after-norm states", "what comes out of the final norm"),
    (other_weights, "other states", "about 0.2 of their length"),
    (not_a_number, "not finite", "a NaN or an infinity"),
    (nothing_written, "empty rows", "nothing but zeros"),
    (half_as_wide, "other states", "16 numbers, and the model's states have 32"),
]


@pytest.mark.parametrize(("plant", "name", "says"), PLANTED, ids=lambda each: getattr(each, "__name__", ""))
def test_a_planted_fault_is_refused_by_name_for_as_many_rows_as_have_it(
    plant: Plant,
    name: str,
    says: str,
    checkpoint: Checkpoint,
    rows: list[AskedRow],
    right: Computed,
    bring: Callable[..., Run],
    tmp_path: Path,
) -> None:
    with pytest.raises(StatesRefusedError) as caught:
        bring(plant(checkpoint, rows, right))
    said = str(caught.value)
    # Of three modes two are swapped, and six rows of the noise floor's prompts and six others are compared.
    wrong = 8 if plant is modes_swapped else 12
    assert caught.value.faults == {name: wrong}
    assert f"{name}: {wrong} of 12 rows" in said
    assert says in said
    assert "\n" not in said
    assert not (tmp_path / "run").exists()


def test_an_engine_that_writes_no_system_message_is_found_out(
    checkpoint: Checkpoint, unsystematic: list[list[int]], bring: Callable[..., Run]
) -> None:
    with pytest.raises(StatesRefusedError, match="no system message: 12 of 12 rows") as caught:
        bring({"states": compute(checkpoint.model, unsystematic).states})
    assert caught.value.faults == {"no system message": 12}


def test_modes_that_are_swapped_are_found_within_a_tolerance_that_would_let_them_pass(
    checkpoint: Checkpoint, rows: list[AskedRow], right: Computed, bring: Callable[..., Run]
) -> None:
    """Each row is nearer to what another ought to hold, of those that are run again: two prompts at least."""
    swapped = modes_swapped(checkpoint, rows, right)
    away = np.linalg.norm(swapped["states"] - right.states, axis=1) / np.linalg.norm(right.states, axis=1)
    assert 0 < away.max() < 0.99
    with pytest.raises(StatesRefusedError, match="the same prompt under another condition") as caught:
        bring(swapped, tolerance=0.99)
    assert caught.value.faults.keys() == {"another request's states"}
    assert caught.value.faults["another request's states"] >= 4


def test_layers_side_by_side_are_told_apart_within_a_tolerance_that_would_let_them_pass(
    right: Computed, bring: Callable[..., Run]
) -> None:
    with pytest.raises(StatesRefusedError, match=r"layer\.2: another layer: 12 of 12 .* of layer\.1"):
        bring({"states": right.states, "layer.2": right.layers[1]}, tolerance=0.99)


def test_several_faults_are_counted_apart(right: Computed, bring: Callable[..., Run]) -> None:
    mixed = right.states.copy()
    mixed[:6] = right.before_norm[:6]
    mixed[6:9] = np.nan
    with pytest.raises(StatesRefusedError) as caught:
        bring({"states": mixed}, sample=ROWS)
    assert caught.value.faults == {"before-norm states": 6, "not finite": 3}


def test_what_agrees_is_a_run_like_one_that_was_collected(
    checkpoint: Checkpoint, asked: dict[str, Any], right: Computed, bring: Callable[..., Run], tmp_path: Path
) -> None:
    run = bring({"states": right.states, "layer.3": right.before_norm})
    collected = collect(checkpoint, out=tmp_path / "collected", **asked)
    run.verify()
    pd.testing.assert_frame_equal(run.rows, collected.rows)
    assert run.layers == collected.layers == [3]
    np.testing.assert_allclose(run.states(), collected.states(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(run.layer(3), collected.layer(3), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(run.logsumexp(), collected.logsumexp(), rtol=1e-5)
    np.testing.assert_allclose(run.topk()[1], collected.topk()[1], rtol=1e-4, atol=1e-5)
    record = run.manifest.imported
    assert record is not None
    assert (record.engine, record.source, record.rows_compared) == ("arrays", "states.npz", 12)
    assert record.largest_difference < 1e-5
    assert (record.precision, record.final_norm) == ("float32", "there")
    assert collected.manifest.imported is None
    assert run.manifest.noise_floor is not None
    assert run.manifest.noise_floor.rows == 6


def test_the_final_norm_is_applied_here_where_only_the_last_block_is_given(
    right: Computed, bring: Callable[..., Run]
) -> None:
    run = bring({"layer.3": right.before_norm})
    np.testing.assert_allclose(run.states(), right.states, rtol=1e-5, atol=1e-6)
    assert run.manifest.imported is not None
    assert run.manifest.imported.final_norm == "here"


@pytest.mark.parametrize("config", ["gpt2", "gemma2"])
def test_a_final_norm_of_another_kind_is_that_of_the_model(
    config: str,
    make_checkpoint: Callable[..., Checkpoint],
    small: dict[str, Any],
    asked: dict[str, Any],
    tmp_path: Path,
) -> None:
    """With a bias and tied embeddings; scaled from 1, before a head with a soft-cap."""
    configs: dict[str, Callable[[], PreTrainedConfig]] = {
        "gpt2": lambda: GPT2Config(vocab_size=260, n_embd=32, n_layer=3, n_head=4, n_positions=512),
        "gemma2": lambda: Gemma2Config(**small, head_dim=8),
    }
    checkpoint = make_checkpoint(configs[config]())
    rows = asked_rows(checkpoint, **asked)
    collected = collect(checkpoint, out=tmp_path / "collected", **asked)
    path = tmp_path / "states.npz"
    for name, states in (("right", collected.layer(3)), ("wrong", collected.states())):
        np.savez(path, allow_pickle=False, **names(rows), **{"layer.3": states})
        if name == "right":
            run = import_states(path, model=checkpoint, out=tmp_path / "run", **asked)
            np.testing.assert_allclose(run.states(), collected.states(), rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(run.logsumexp(), collected.logsumexp(), rtol=1e-5)
        else:
            with pytest.raises(StatesRefusedError, match="after-norm states"):
                import_states(path, model=checkpoint, out=tmp_path / "other", **asked)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_right_states_of_a_lower_precision_are_taken_and_said(
    dtype: torch.dtype, right: Computed, bring: Callable[..., Run], capsys: pytest.CaptureFixture[str]
) -> None:
    rounded = in_16_bits(right.states, dtype).float().numpy()
    run = bring({"states": rounded}, quiet=False)
    name = str(dtype).removeprefix("torch.")
    assert run.manifest.imported is not None
    assert run.manifest.imported.precision == name
    assert f"its states are of {name}, which is less than the model computes in here" in " ".join(
        capsys.readouterr().err.split()
    )
    np.testing.assert_array_equal(run.states(), rounded)


def test_a_tolerance_of_ones_own_is_kept(right: Computed, bring: Callable[..., Run]) -> None:
    rounded = in_16_bits(right.states, torch.bfloat16).float().numpy()
    with pytest.raises(StatesRefusedError, match="other states: 12 of 12"):
        bring({"states": rounded}, tolerance=1e-4)


def test_rows_that_are_missing_double_or_unknown_are_named(
    checkpoint: Checkpoint, asked: dict[str, Any], rows: list[AskedRow], right: Computed, tmp_path: Path
) -> None:
    its = names(rows)
    kept = [*range(2, ROWS), 5]
    its = {name: values[kept] for name, values in its.items()}
    its["condition"] = its["condition"].astype("<U20")
    its["condition"][0] = "elsewhere"
    np.savez(tmp_path / "states.npz", allow_pickle=False, states=right.states[kept], **its)
    with pytest.raises(MarginError) as caught:
        import_states(tmp_path / "states.npz", model=checkpoint, out=tmp_path / "run", **asked)
    said = str(caught.value)
    of = [f"{row.prompt_id} ({row.condition})" for row in rows]
    assert f"it lacks 3 of {ROWS} rows, {of[0]}, {of[1]}, {of[2]}" in said
    assert f"it has 1 row more than once, {of[5]}" in said
    assert "it has 1 row of no prompt and condition here, row 0" in said
    assert "elsewhere" not in said


def test_decoys_that_are_missing_say_how_to_leave_them_out(
    right: Computed, bring: Callable[..., Run]
) -> None:
    with pytest.raises(MarginError, match="--decoys 0 asks for no decoys"):
        bring({"states": right.states}, decoys=1)


def test_more_rows_than_are_asked_for_are_left_out(
    right: Computed, bring: Callable[..., Run], capsys: pytest.CaptureFixture[str]
) -> None:
    run = bring({"states": right.states}, limit=4, quiet=False)
    assert len(run.rows) == ROWS // 2
    assert "12 rows of no prompt and condition of this run left out" in " ".join(
        capsys.readouterr().err.split()
    )


def test_a_run_of_imported_states_is_not_gone_on_with_by_collecting(
    checkpoint: Checkpoint, asked: dict[str, Any], right: Computed, bring: Callable[..., Run]
) -> None:
    run = bring({"states": right.states, "layer.3": right.before_norm})
    with pytest.raises(IncomparableError, match="imported: arrays there, nothing here"):
        collect(checkpoint, out=run.path, **asked)
    with pytest.raises(MarginError, match="holds a run already"):
        bring({"states": right.states})
    assert open_run(run.path).manifest == run.manifest


def test_an_import_that_was_interrupted_is_made_anew(
    right: Computed, bring: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("margin.capture.imported.finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            bring({"states": right.states + np.float32(1e-6)})
    assert not read_manifest(tmp_path / "run").complete
    run = bring({"states": right.states})
    run.verify()
    np.testing.assert_array_equal(run.states(), right.states)


def test_neither_errors_nor_runs_hold_a_token(
    checkpoint: Checkpoint,
    rows: list[AskedRow],
    right: Computed,
    modes: ModeSet,
    asked: dict[str, Any],
    tmp_path: Path,
) -> None:
    """Of a dump that knows its rows by token ids."""
    ids = np.concatenate([row.ids for row in rows])
    lengths = np.array([len(row.ids) for row in rows])
    path = tmp_path / "states.npz"
    np.savez(path, allow_pickle=False, states=right.states, token_ids=ids, n_tokens=lengths)
    run = import_states(path, model=checkpoint, out=tmp_path / "run", **asked)
    np.testing.assert_array_equal(run.states(), right.states)
    np.savez(path, allow_pickle=False, states=right.states, token_ids=ids[::-1], n_tokens=lengths)
    with pytest.raises(MarginError) as caught:
        import_states(path, model=checkpoint, out=tmp_path / "other", **asked)
    held = [
        str(caught.value).encode(),
        *(each.read_bytes() for each in run.path.rglob("*") if each.is_file()),
    ]
    for mode in modes.modes:
        token = mode.token.reveal()
        spelt = json.dumps(checkpoint.tokenizer(token, add_special_tokens=False)["input_ids"])
        assert not [each for each in held if token.encode() in each or spelt[1:-1].encode() in each]


def test_every_number_of_the_report_is_that_of_a_run_that_was_collected(tmp_path: Path) -> None:
    """To 1e-6, of the shipped checkpoint with decoys, all layers and controls.

    Where another engine computes the states the margins are the same to 1e-6, too; bounds of layers, which
    magnify rounding, to 1e-3.
    """
    model = load_checkpoint(checkpoint_path("cotrained"))
    asked: dict[str, Any] = {
        "prompts": prompts_path(),
        "modes": modes_path(),
        "limit": 12,
        "controls": ["none", "random"],
        "quiet": True,
    }
    rows = asked_rows(model, **asked)
    collected = collect(model, out=tmp_path / "collected", layers="all", **asked)
    kept = Computed(collected.states(), [collected.layer(layer) for layer in collected.layers])
    there = analyse(collected).to_dict()
    for number, its in enumerate((kept, compute(model.model, [row.ids for row in rows]))):
        layers = {f"layer.{layer}": values for layer, values in enumerate(its.layers)}
        path = tmp_path / "states.npz"
        np.savez(path, allow_pickle=False, states=its.states, **names(rows), **layers)
        run = import_states(path, model=model, out=tmp_path / f"run{number}", **asked)
        report = analyse(run)
        here = report.to_dict()
        parts = there.keys() - {"provenance"}
        assert here.keys() == there.keys()
        assert not differs(here["sam"], there["sam"], 1e-6)
        within = 1e-3 if number else 1e-6
        assert not [part for part in parts if differs(here[part], there[part], within)]
        assert here["provenance"]["imported"]["rows_compared"] == 40
        assert "imported" not in there["provenance"]
        assert here["provenance"]["identity"].pop("imported") == "arrays"
        assert here["provenance"]["identity"] == there["provenance"]["identity"]
        said = [str(fact) for section in report for fact in section.facts()]
        assert [each for each in said if "imported from states.npz (arrays, float32): 40 of" in each]


def differs(one: object, other: object, within: float) -> bool:
    """Whether two records differ by more than that in any number, or in anything else at all."""
    if isinstance(one, float) and isinstance(other, float):
        return not np.isclose(one, other, rtol=within, atol=within, equal_nan=True)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() != other.keys() or any(differs(one[key], other[key], within) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) != len(other) or any(differs(*pair, within) for pair in zip(one, other, strict=True))
    return one != other
