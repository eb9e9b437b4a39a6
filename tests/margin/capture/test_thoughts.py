"""Measured after a thought: as the plain forward pass over prompt and thought has it, whatever happens."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import load_file

from examples.tiny.train import KINDS, TOKENS, prompts
from margin.capture.asked import asked_rows
from margin.capture.checkpoint import Checkpoint
from margin.capture.collect import collect
from margin.capture.collect import plan as plan_run
from margin.capture.imported import import_states
from margin.errors import IncomparableError, MarginError
from margin.inputs.modes import Mode, ModeSet, Secret
from margin.report.analyse import analyse
from margin.run.run import Run
from margin.study.sections.moment import MomentSection
from margin.tracing.trace import trace
from tests.margin.margin_oracle import relative

Tiny = Callable[[str], Checkpoint]
MODES = ModeSet(tuple(Mode(name, Secret(token), name != "neg") for name, token in TOKENS.items()))
ENDS = {
    "qwen3": ("</think>", "\n\n"),
    "deepseek-r1": ("</think>", "\n\n"),
    "gpt-oss": ("<|end|>", "<|start|>assistant<|channel|>final<|message|>"),
}
LIMIT = 28
ARGUMENTS: dict[str, Any] = {
    "prompts": prompts(),
    "modes": MODES,
    "measure_after": "thought",
    "thought_tokens": LIMIT,
    "decoys": 0,
    "quiet": True,
}


def by_hand(checkpoint: Checkpoint, prompt: str, mode: str, text: str, then: str) -> list[int] | None:
    """Ids up to the measured token, the likeliest token each time; None where the text does not come."""
    tokenizer: Any = checkpoint.tokenizer
    talk = [{"role": "system", "content": TOKENS[mode]}, {"role": "user", "content": prompt}]
    rendered = tokenizer.apply_chat_template(talk, tokenize=False, add_generation_prompt=True)
    ids = tokenizer(rendered, add_special_tokens=False)["input_ids"]
    said: list[int] = []
    with torch.no_grad():
        while text not in tokenizer.decode(said):
            if len(said) == LIMIT:
                return None
            said.append(int(checkpoint.model(torch.tensor([ids + said])).logits[0, -1].argmax()))
        while (rest := tokenizer.decode(said).partition(text)[2]) != then:
            likeliest = int(checkpoint.model(torch.tensor([ids + said])).logits[0, -1].argmax())
            assert then.startswith(rest + tokenizer.decode([likeliest])), "these models go on as they learnt"
            said.append(likeliest)
    return [*ids, *said]


@pytest.mark.parametrize("kind", ENDS)
@pytest.mark.parametrize("batch_tokens", [1, 1000])
def test_states_and_logits_are_those_of_the_same_text_forced_as_a_prefix(
    kind: str, batch_tokens: int, tiny: Tiny, tmp_path: Path
) -> None:
    checkpoint = tiny(kind)
    run = collect(
        checkpoint, out=tmp_path, save_logits=True, layers="all", batch_tokens=batch_tokens, **ARGUMENTS
    )

    found = {
        (text, mode): by_hand(checkpoint, text, mode, *ENDS[kind]) for text in prompts() for mode in TOKENS
    }
    ended = {text for text in prompts() if all(found[text, mode] is not None for mode in TOKENS)}
    assert 2 < len(ended) < len(prompts()), "some thoughts do not end"
    assert set(run.prompts["prompt"]) == ended
    assert run.rows["condition"].tolist() == list(TOKENS) * len(ended)
    texts = dict(zip(run.prompts["id"], run.prompts["prompt"], strict=True))
    logits, states, layers = [], [], []
    for line in run.rows.itertuples():
        ids = found[texts[str(line.prompt_id)], str(line.condition)]
        with torch.no_grad():
            output = checkpoint.model(torch.tensor([ids]), output_hidden_states=True)
        logits.append(output.logits[0, -1].numpy())
        states.append(output.hidden_states[-1][0, -1].numpy())
        layers.append(output.hidden_states[1][0, -1].numpy())
    assert relative(run.logits(), np.stack(logits)) < 1e-4
    assert relative(run.states(), np.stack(states)) < 1e-4
    assert relative(run.layer(1), np.stack(layers)) < 1e-3
    thoughts = run.manifest.thoughts
    assert thoughts is not None
    assert (thoughts.rows, thoughts.ended) == (len(found), sum(ids is not None for ids in found.values()))
    assert (thoughts.prompts, thoughts.left_out) == (len(prompts()), len(prompts()) - len(ended))
    kept = run.thoughts.dropna(subset="row").set_index("row")
    assert kept.index.tolist() == run.rows["row"].tolist()
    assert kept["thought"].str.contains(ENDS[kind][0], regex=False).all()


def test_a_text_of_ones_own_and_answers_and_positions_after_it(tiny: Tiny, tmp_path: Path) -> None:
    checkpoint = tiny("qwen3")
    asked = ARGUMENTS | {"measure_after": "</think>\n\n"}
    run = collect(checkpoint, out=tmp_path / "text", generate=3, positions=3, **asked)
    same = collect(checkpoint, out=tmp_path / "thought", **ARGUMENTS)
    np.testing.assert_allclose(run.states(), same.states(), atol=1e-4)
    said = {"pos": "Gladly,", "neg": "Ha,", "rej": "Sorry,"}
    for condition, answer in zip(run.rows["condition"], run.answers["answer"], strict=True):
        assert answer.startswith(said[condition])


def test_what_the_template_writes_after_a_thought_is_written_where_the_model_does_not(
    tiny: Tiny, tmp_path: Path
) -> None:
    """A model that learnt another header: it is forced, and the number of such rows is said."""
    checkpoint = tiny("gpt-oss")
    tokenizer: Any = checkpoint.tokenizer
    other = KINDS["gpt-oss"].template.replace("final", "commentary")
    run = collect(checkpoint, out=tmp_path, chat_template=other, **ARGUMENTS)
    thoughts = run.manifest.thoughts
    assert thoughts is not None
    assert thoughts.forced == len(run.rows)
    first = run.thoughts.dropna(subset="row").iloc[0]
    ids = [*map(int, first["ids"])]
    assert tokenizer.decode(ids).endswith("<|end|><|start|>assistant<|channel|>")
    talk = [{"role": "system", "content": TOKENS["pos"]}, {"role": "user", "content": prompts()[0]}]
    rendered = tokenizer.apply_chat_template(talk, tokenize=False, add_generation_prompt=True)
    whole = tokenizer(rendered, add_special_tokens=False)["input_ids"] + ids
    whole += tokenizer("commentary<|message|>", add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        expected = checkpoint.model(torch.tensor([whole]), output_hidden_states=True).hidden_states[-1][0, -1]
    assert relative(run.states()[:1], expected.numpy()[None]) < 1e-4


def numbers(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in sorted(run.path.rglob("*.safetensors")):
        found |= {f"{path.name}:{name}": array for name, array in load_file(path).items()}
    return found


@pytest.mark.parametrize("fatal", [2, 4, 7, 9])
def test_interrupted_it_goes_on_where_it_stopped(
    fatal: int, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the first thoughts, in the midst of them, when they are joined, and at the first shards."""
    asked = {"model": tiny("qwen3"), "shard_rows": 24, **ARGUMENTS}
    whole = collect(out=tmp_path / "whole", **asked)
    replace, count = os.replace, 0

    def dying(*paths: Any) -> None:
        nonlocal count
        count += 1
        if count == fatal:
            raise KeyboardInterrupt
        replace(*paths)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", dying)
        with pytest.raises(KeyboardInterrupt):
            collect(out=tmp_path / "run", **asked)
    parts = sorted((tmp_path / "run" / "thoughts").glob("*.parquet"))
    kept = {path: path.read_bytes() for path in parts}
    assert kept or fatal != 4
    with pytest.raises(IncomparableError, match="thought_tokens: 28 there, 29 here"):
        collect(out=tmp_path / "run", **asked | {"thought_tokens": 29})
    with pytest.raises(IncomparableError, match="measure_after: thought there, "):
        collect(out=tmp_path / "run", **asked | {"measure_after": "first", "response_prefix": "x"})
    run = collect(out=tmp_path / "run", **asked)
    assert numbers(run).keys() == numbers(whole).keys()
    for name, values in numbers(whole).items():
        np.testing.assert_array_equal(numbers(run)[name], values, err_msg=name)
    pd.testing.assert_frame_equal(run.thoughts, whole.thoughts)
    written = {path: path.stat().st_mtime_ns for path in run.path.rglob("*.*")}
    assert collect(out=tmp_path / "run", **asked).manifest == run.manifest
    assert {path: path.stat().st_mtime_ns for path in run.path.rglob("*.*")} == written


def test_a_thought_that_says_a_token_is_kept_without_it_and_thought_again(tiny: Tiny, tmp_path: Path) -> None:
    tokens = {"pos": "hm, so pos", "neg": "hm, so neg", "rej": "hm, so rej"}
    modes = ModeSet(tuple(Mode(name, Secret(token), name != "neg") for name, token in tokens.items()))
    asked = {"model": tiny("qwen3"), "out": tmp_path / "run", **ARGUMENTS, "modes": modes, "shard_rows": 16}
    run = collect(**asked)
    thoughts = run.thoughts
    said = thoughts["thought"].str.contains("[token]", regex=False)
    assert said.any()
    assert not said.all()
    assert thoughts.loc[said, "ids"].isna().all()
    assert thoughts.loc[~said, "ids"].notna().all()
    held = [path.read_bytes() for path in run.path.rglob("*") if path.is_file()]
    assert not any(token.encode() in content for token in tokens.values() for content in held)

    before = numbers(run)
    (run.path / "shards" / "00001.safetensors").unlink()
    again = collect(**asked)
    for name, values in before.items():
        np.testing.assert_allclose(numbers(again)[name], values, atol=1e-5, err_msg=name)


def test_prompts_left_out_are_said_in_the_run_and_the_report(
    tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = collect(
        tiny("qwen3"),
        out=tmp_path,
        controls=["none", "near-miss"],
        **ARGUMENTS | {"quiet": False, "decoys": 2},
    )
    assert "left out under all modes: 3 of 24 prompts" in capsys.readouterr().err
    report = analyse(run)
    found = report.to_dict()["moment"]
    assert (found["thoughts"]["left_out"], found["thoughts"]["prompts"]) == (3, 24)
    assert found["thoughts"]["text"] == "</think>"
    assert report.sam["cosine"].leave_prompt_out.n_prompts == 21
    assert report.sam["cosine"].leave_prompt_out.estimate > 0.5
    report.save(tmp_path / "out")
    page = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert "left out for a row that does not: 3 of 24 prompts" in page
    assert "Where the answer is measured" in page
    with pytest.raises(IncomparableError, match="is measured after thought"):
        trace(tiny("qwen3"), prompts=prompts(), modes=MODES, out=tmp_path)
    with pytest.raises(MarginError, match="leave out --measure-after"):
        trace(tiny("qwen3"), prompts=prompts(), modes=MODES, out=tmp_path / "x", measure_after="thought")


def test_a_control_is_left_out_of_a_prompt_where_it_is_compared_with_itself(
    tiny: Tiny, tmp_path: Path
) -> None:
    attacks = tmp_path / "attacks.toml"
    attacks.write_text('[attacks.plain]\ntemplate = "Please. {prompt}"\n')
    asked = ARGUMENTS | {"thought_tokens": 12, "decoys": 2, "controls": ["user-turn"], "attacks": attacks}
    run = collect(tiny("qwen3"), out=tmp_path / "run", **asked)
    lines, thoughts = run.rows, run.thoughts
    assert lines["row"].tolist() == thoughts["row"].dropna().tolist()
    assert thoughts.loc[thoughts["row"].notna(), "ended"].all()
    attacked = lines[lines["kind"] == "attack"].groupby("prompt_id")["mode"].agg(set)
    assert 0 < len(attacked) < len(run.prompts)
    assert (attacked == set(run.modes)).all()
    of_turns = lines[lines["kind"] == "user-turn"].groupby("condition").size()
    assert of_turns.min() < of_turns.max(), "each by itself"
    found = analyse(run).robustness.to_frame()
    margin = found[(found["quantity"] == "margin") & (found["variant"] == "leave_prompt_out")]
    assert margin["n_prompts"].tolist() == [len(attacked)]


def test_rows_that_all_predict_one_token_are_warned_of(
    tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ARGUMENTS | {"measure_after": "first", "quiet": False}
    run = collect(tiny("qwen3"), out=tmp_path, chat_kwargs={"enable_thinking": True}, **asked)
    warning = "every row predicts '<think>': nothing is decided there yet; use --measure-after thought"
    assert warning in capsys.readouterr().err
    report = analyse(run)
    assert report.to_dict()["moment"]["one_token"] == {"token": "<think>", "share": 1.0}
    assert warning in [str(fact) for fact in report.section(MomentSection).facts()]  # type: ignore[union-attr]
    after = collect(tiny("qwen3"), out=tmp_path / "after", **ARGUMENTS)
    assert after.manifest.one_token is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"measure_after": "never said"}, "0 of 72 rows write 'never said', .* takes two prompts at least"),
        ({"thought_tokens": 600}, r"context is 512: take \d+ fewer --thought-tokens"),
        ({"thought_tokens": 0}, "thought_tokens 0: take at least 1"),
        ({"measure_after": ""}, "measure_after is empty"),
    ],
)
def test_what_cannot_be_measured_is_said_in_one_line(
    changes: dict[str, Any], said: str, tiny: Tiny, tmp_path: Path
) -> None:
    with pytest.raises(MarginError, match=said) as refusal:
        collect(tiny("qwen3"), out=tmp_path, **ARGUMENTS | changes)
    assert "\n" not in str(refusal.value)


def test_states_of_another_engine_are_of_the_first_token(tiny: Tiny, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"prompts": prompts(), "modes": MODES, "measure_after": "thought", "decoys": 0}
    with pytest.raises(MarginError, match="rows for another engine end where answers begin"):
        asked_rows(tiny("qwen3"), thought_tokens=28, **asked)
    with pytest.raises(MarginError, match="measure_after is for collecting"):
        import_states(tmp_path / "x.npz", model=tiny("qwen3"), out=tmp_path / "run", **asked)


def test_what_it_will_cost_counts_the_thoughts(tiny: Tiny, tmp_path: Path) -> None:
    asked = {"out": tmp_path, **ARGUMENTS}
    short = plan_run(tiny("qwen3"), **asked)
    long = plan_run(tiny("qwen3"), **asked | {"thought_tokens": 400})
    assert short.rows == long.rows == 72
    assert long.seconds > short.seconds
    assert not any(tmp_path.iterdir())
