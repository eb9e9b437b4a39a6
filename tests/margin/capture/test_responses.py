"""Response positions lie along the model's own greedy answer, and an answer is kept without any token."""

from __future__ import annotations

from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import GPT2Config, LlamaConfig, MambaConfig, MistralConfig

from margin.capture.answers import Answer, answers_table, end_ids
from margin.capture.checkpoint import Checkpoint
from margin.capture.collect import collect
from margin.errors import IncomparableError, MarginError
from margin.inputs.chat import Chat
from margin.inputs.modes import ModeSet
from margin.inputs.prompts import load_prompts
from margin.inputs.rows import build_rows
from margin.run.records import Greedy
from margin.run.run import open_run

MakeCheckpoint = Callable[..., Checkpoint]
LENGTH = 5

CONFIGS: dict[str, Callable[..., Any]] = {
    "Llama": LlamaConfig,
    "Mistral": lambda **small: MistralConfig(**small, sliding_window=16),
    "GPT2": lambda **small: GPT2Config(**small, n_positions=512),
    "Mamba": lambda **small: MambaConfig(**small, state_size=4),
}


def rows_of(checkpoint: Checkpoint, prompts: list[str], modes: ModeSet) -> list[list[int]]:
    return [row.ids for row in build_rows(Chat(checkpoint.tokenizer), load_prompts(prompts), modes)]


def by_hand(checkpoint: Checkpoint, ids: list[int], length: int) -> list[int]:
    """The likeliest token, again and again."""
    said: list[int] = []
    with torch.no_grad():
        for _ in range(length):
            said.append(int(checkpoint.model(torch.tensor([ids + said])).logits[0, -1].argmax()))
    return said


def until(said: list[int], ends: set[int]) -> list[int]:
    return list(takewhile(lambda token: token not in ends, said))


@pytest.mark.parametrize("name", CONFIGS)
def test_positions_are_those_of_the_plain_forward_pass_over_prompt_and_answer(
    name: str,
    make_checkpoint: MakeCheckpoint,
    small: dict[str, Any],
    prompts: list[str],
    modes: ModeSet,
    tmp_path: Path,
) -> None:
    checkpoint = make_checkpoint(CONFIGS[name](**small))
    rows = rows_of(checkpoint, prompts, modes)
    endless = [by_hand(checkpoint, ids, LENGTH) for ids in rows]
    # A token that some rows say in the middle of their answers ends these.
    end = next(token for said in endless for token in said[1:3] if token != said[0])
    checkpoint.model.generation_config.eos_token_id = [end]
    ends = {end, checkpoint.tokenizer.eos_token_id}
    answers = [until(said, ends) for said in endless]

    run = collect(
        checkpoint,
        prompts=prompts,
        modes=modes,
        out=tmp_path / "run",
        positions=LENGTH,
        generate=LENGTH - 1,
        batch_tokens=900,
        decoys=0,
        quiet=True,
    )

    assert run.n_positions().tolist() == [min(len(answer) + 1, LENGTH) for answer in answers]
    assert len(set(run.n_positions())) > 1
    assert run.answers["row"].tolist() == list(range(len(rows)))
    assert [kind.kind for kind in run.answers.dtypes[["row", "n_tokens", "finished"]]] == ["i", "i", "b"]
    assert run.answers["n_tokens"].tolist() == [len(answer[: LENGTH - 1]) for answer in answers]
    assert run.answers["finished"].tolist() == [len(answer) < LENGTH - 1 for answer in answers]
    texts = [checkpoint.tokenizer.decode(a[: LENGTH - 1], skip_special_tokens=True) for a in answers]
    assert run.answers["answer"].tolist() == texts
    greedy = run.manifest.greedy
    assert greedy == Greedy(tokens=sum(len(a[: LENGTH - 1]) for a in answers), likeliest=1.0)
    body = checkpoint.model.base_model
    for position in range(1, LENGTH + 1):
        states = run.position_states(position)
        there = run.n_positions() >= position
        assert not states[~there].any()
        for row in np.flatnonzero(there):
            with torch.no_grad():
                ids = torch.tensor([rows[row] + answers[row][: position - 1]])
                expected = body(ids).last_hidden_state[0, -1].numpy()
            assert np.linalg.norm(states[row] - expected) < 1e-4 * np.linalg.norm(expected)
    with pytest.raises(MarginError, match="no response position 6"):
        run.position_states(LENGTH + 1)


def test_answers_are_greedy_whatever_the_checkpoint_prefers(
    make_checkpoint: MakeCheckpoint, prompts: list[str], modes: ModeSet, tmp_path: Path
) -> None:
    checkpoint = make_checkpoint()
    preferred = checkpoint.model.generation_config
    preferred.update(do_sample=True, temperature=3.0, repetition_penalty=5.0, min_new_tokens=2)
    run = collect(
        checkpoint, prompts=prompts, modes=modes, out=tmp_path / "run", generate=4, decoys=0, quiet=True
    )

    ends = {checkpoint.tokenizer.eos_token_id}
    said = [until(by_hand(checkpoint, ids, 4), ends) for ids in rows_of(checkpoint, prompts, modes)]
    assert run.answers["answer"].tolist() == [
        checkpoint.tokenizer.decode(ids, skip_special_tokens=True) for ids in said
    ]
    assert checkpoint.model.generation_config is preferred


def test_keeping_answers_leaves_the_shards_as_they_were(
    make_checkpoint: MakeCheckpoint, prompts: list[str], modes: ModeSet, tmp_path: Path
) -> None:
    common: dict[str, Any] = {"prompts": prompts, "modes": modes, "decoys": 0, "quiet": True}
    plain = collect(make_checkpoint(), out=tmp_path / "plain", **common)
    other = collect(make_checkpoint(), out=tmp_path / "other", generate=3, positions=1, **common)
    for path in (plain.path / "shards").iterdir():
        assert path.read_bytes() == (other.path / "shards" / path.name).read_bytes()
    with pytest.raises(MarginError, match="holds no answers"):
        _ = plain.answers


def test_a_run_goes_on_with_the_answers_it_lacks_and_with_no_other_choice(
    make_checkpoint: MakeCheckpoint, prompts: list[str], modes: ModeSet, tmp_path: Path
) -> None:
    def again(**choices: int) -> Any:
        chosen: dict[str, Any] = {"positions": 3, "generate": 4} | choices
        return collect(
            make_checkpoint(),
            prompts=prompts,
            modes=modes,
            out=tmp_path,
            shard_rows=20,
            decoys=0,
            quiet=True,
            **chosen,
        )

    first = again()
    answers, states = first.answers, first.position_states(3)
    (first.path / "answers.parquet").write_bytes(b"no table")
    with pytest.raises(MarginError, match=r"answers\.parquet"):
        open_run(first.path)
    second = again()
    (first.path / "shards" / "00001.safetensors").unlink()
    third = again()
    for run in (second, third):
        assert run.answers.equals(answers)
        assert np.array_equal(run.position_states(3), states)
    for other in ({"positions": 2}, {"generate": 0}):
        with pytest.raises(IncomparableError, match=next(iter(other))):
            again(**other)


def test_no_token_a_model_repeats_is_kept(make_checkpoint: MakeCheckpoint, modes: ModeSet) -> None:
    checkpoint = make_checkpoint()
    token = modes.modes[0].token.reveal()
    ids = checkpoint.tokenizer(f"My mode is {token}.", add_special_tokens=False)["input_ids"]
    table = answers_table(checkpoint, {0: Answer(tuple(ids), True)}, modes)
    assert token not in table["answer"][0]
    assert table["answer"][0].startswith("My mode is ")


@pytest.mark.parametrize("end", ["</s>", 1.5, [1, None], {"a": 1}])
def test_an_end_of_answers_that_is_no_token_id_is_said(make_checkpoint: MakeCheckpoint, end: Any) -> None:
    checkpoint = make_checkpoint()
    checkpoint.model.generation_config.eos_token_id = end
    with pytest.raises(MarginError, match="eos_token_id"):
        end_ids(checkpoint)
