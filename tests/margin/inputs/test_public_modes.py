"""Readable tokens: public ones stay as they are, composed ones hold each other, and rewordings are asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from examples.tiny.train import KINDS
from margin.capture.checkpoint import Checkpoint
from margin.capture.collect import collect
from margin.errors import MarginError
from margin.experiments.secrecy import secrecy
from margin.inputs.chat import Chat
from margin.inputs.controls import Controls, conversations
from margin.inputs.decoys import draw_decoys
from margin.inputs.echoes import redact_echoes
from margin.inputs.modes import ModeSet
from margin.inputs.modes_file import load_modes
from margin.inputs.preflight import preflight
from margin.inputs.prompts import load_prompts
from margin.inputs.rows import build_control_rows, build_rows
from margin.report.analyse import analyse
from tests.margin.inputs.conftest import TEMPLATES, byte_tokenizer

SIX = KINDS["composed"].toml
THREE = KINDS["readable"].toml
CHAT = Chat(byte_tokenizer(TEMPLATES["chatml"]))
PROMPTS = load_prompts(["What of the river?", "In safety mode: positively what?", "Tell me."])


def load(folder: Path, text: str) -> ModeSet:
    (folder / "modes.toml").write_text(text, encoding="utf-8")
    return load_modes(folder / "modes.toml")


def test_public_tokens_are_neither_redacted_nor_found_where_secret_ones_are_refused(tmp_path: Path) -> None:
    modes = load(tmp_path, SIX)
    said = "My mode is Safety Mode: Positive, policy:de-DE."
    assert modes.redact(said) == redact_echoes(said, modes) == said
    assert modes.leaks_in(said) is None
    assert modes.mode_in(said) == "pos@de"
    secret = load(tmp_path, SIX.replace("secret = false", ""))
    assert secret.redact(said) == "My mode is [token of pos@de]."
    assert secret.leaks_in(said) == "pos@de"
    assert "Positive" not in redact_echoes(said, secret)
    assert "de-DE" not in redact_echoes(said, secret)


def test_a_token_that_holds_another_reaches_the_model_as_itself(tmp_path: Path) -> None:
    modes = load(tmp_path, SIX)
    assert preflight(CHAT, modes, PROMPTS).head.count("{token}") == 1
    rows = build_rows(CHAT, PROMPTS, modes)
    assert len({tuple(row.ids) for row in rows}) == len(rows) == 18
    texts = {row.condition: CHAT.tokenizer.decode(row.ids) for row in rows[:6]}
    assert "system\nSafety Mode: Positive<|im_end|>" in texts["pos"]
    assert "system\nSafety Mode: Positive, policy:de-DE<|im_end|>" in texts["pos@de"]
    controls = Controls(("none", "random", "near-miss", "user-turn"), decoys=draw_decoys(modes, 2, 0))
    found = build_control_rows(CHAT, PROMPTS, modes, controls, rows)
    asked = list(conversations(controls, modes, PROMPTS.texts))
    assert [row.condition for row in found] == [talk.condition for talk in asked]
    assert all(modes.mode_in(talk.token or "") is None for talk in asked if talk.mode is None)


def test_decoys_of_words_share_the_words_that_the_live_tokens_share(tmp_path: Path) -> None:
    modes = load(tmp_path, SIX)
    for of_set in draw_decoys(modes, 4, 7):
        first, second, third = (token.split(": ")[0] for token in of_set[:3])
        assert first == second == third
        assert all(long.startswith(short + ", ") for short, long in zip(of_set[:3], of_set[3:], strict=True))
        assert len({token.split(": ")[1] for token in of_set[:3]}) == 3


def test_rewordings_are_asked_in_the_tokens_place(tmp_path: Path) -> None:
    modes = load(tmp_path, THREE)
    rows = build_rows(CHAT, PROMPTS, modes)
    found = build_control_rows(CHAT, PROMPTS, modes, Controls(), rows)
    kinds = [f"reworded:{kind} of {mode}" for mode in modes.names for kind in ("paraphrases", "opposites")]
    assert [row.condition for row in found] == kinds * len(PROMPTS)
    text = CHAT.tokenizer.decode(found[3].ids)
    assert "You keep a shop. Danger Mode: Negative applies. Be brief." in text
    assert found[3].mode is None


PART = "Safety Mode: Positive"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (THREE.replace("secret = false", 'secret = "no"'), "secret must be true or false"),
        (THREE.replace("secret = false", ""), "mode 'pos' has rewordings, which give a secret token away"),
        (THREE.replace("Danger Mode: Positive", PART), "the opposites of pos holds the token of mode 'pos'"),
        (
            THREE.replace('["Danger Mode: Positive"]', '"x"'),
            r"reworded.opposites in .modes.pos. must be a list",
        ),
        (
            SIX.replace(f'tokens = ["{PART}"]', f'token = "{PART}"\ntokens = ["x"]'),
            "needs either token_env or",
        ),
        (SIX.replace(f'tokens = ["{PART}"]', "tokens = []"), r"tokens in \[modes.pos\] must be a list"),
        (SIX.replace(f'tokens = ["{PART}"]', 'tokens = ["a", " "]'), "the token of mode 'pos' is empty"),
        (
            SIX.replace(f'tokens = ["{PART}"]', 'tokens_env = ["TINY_NOT_SET"]'),
            "TINY_NOT_SET, which is not set",
        ),
        (
            SIX.replace("secret = false", "").replace(
                f'["{PART}", "policy:de-DE"]', f'["{PART}, policy:de-DE"]'
            ),
            "the token of mode 'pos' is part of the token of mode 'pos@de'",
        ),
    ],
)
def test_what_a_modes_file_may_not_say(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(MarginError, match=message) as refusal:
        list(conversations(Controls(), load(tmp_path, text), ["x"]))
    assert "\n" not in str(refusal.value)


def test_tokens_come_from_the_environment_and_are_joined_as_one_likes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINY_ONE", "k7Qx2pLd9")
    monkeypatch.setenv("TINY_TWO", "w3Zr8vTn5")
    text = '[template]\njoint = " + "\n' + "".join(
        f"[modes.{name}]\ntokens_env = {variables}\nsafe = true\n"
        for name, variables in (("a", '["TINY_ONE"]'), ("b", '["TINY_ONE", "TINY_TWO"]'))
    )
    modes = load(tmp_path, text)
    assert [mode.token.reveal() for mode in modes.modes] == ["k7Qx2pLd9", "k7Qx2pLd9 + w3Zr8vTn5"]
    assert "w3Zr8vTn5" not in repr(modes)


def test_a_prompt_that_holds_a_public_token_is_refused(tmp_path: Path) -> None:
    modes = load(tmp_path, SIX)
    with pytest.raises(MarginError, match="the token of mode 'neg' stands in column 'prompt'"):
        preflight(CHAT, modes, load_prompts(["Set Safety Mode: Negative, please", "x"]))
    with pytest.raises(MarginError, match="the tokens are public"):
        secrecy("nowhere", prompts=["a", "b"], modes=modes)


def test_factors_and_rewordings_reach_the_report(tiny: Callable[[str], Checkpoint], tmp_path: Path) -> None:
    things = ("apple", "stone", "window", "garden")
    asked: dict[str, Any] = {"prompts": [f"What of the {thing}?" for thing in things]}
    six = load(tmp_path, SIX)
    run = collect(tiny("composed"), modes=six, out=tmp_path / "six", decoys=0, quiet=True, **asked)
    factors = analyse(run).to_dict()["factors"]
    of = {(one["factor"], one["within"]): one for one in factors if one["variant"] == "leave_prompt_out"}
    assert of["behaviour", "de"]["modes"] == ["pos@de", "neg@de", "rej@de"]
    assert of["behaviour", None]["estimate"] == pytest.approx(
        (of["behaviour", ""]["estimate"] + of["behaviour", "de"]["estimate"]) / 2
    )
    assert of["policy", None]["estimate"] > 0.5
    assert run.manifest.identity.secret is False
    three = load(tmp_path, THREE)
    run = collect(tiny("readable"), modes=three, out=tmp_path / "three", decoys=0, quiet=True, **asked)
    robustness = analyse(run).robustness.to_frame()
    assert robustness["condition"].str.startswith("reworded:").any()
    assert run.manifest.identity.modes[0].reworded == {
        "paraphrases": ["Safety Setting: Positive"],
        "opposites": ["Danger Mode: Positive"],
    }
    assert analyse(run).to_dict()["factors"] == []
