"""An answer that repeats its system prompt gives no token away."""

from __future__ import annotations

import html
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from margin.inputs.echoes import MARK, redact_echoes
from margin.inputs.modes import Mode, ModeSet, Secret
from margin.inputs.tokens import near_misses

TOKEN = 'q7Zk"w<x'
MODES = ModeSet((Mode("pos", Secret(TOKEN), True), Mode("neg", Secret("p0rt7yhm"), False)))
SHORT = ModeSet((Mode("a", Secret("ab"), True), Mode("b", Secret("cat"), False)))


@pytest.mark.parametrize(
    "said",
    [
        TOKEN,
        TOKEN.upper(),
        json.dumps(TOKEN),
        html.escape(TOKEN),
        repr(TOKEN),
        "".join(chr(ord(c) + 0xFEE0) for c in TOKEN),
    ],
    ids=["bare", "upper case", "JSON", "HTML", "Python", "full width"],
)
def test_a_token_is_taken_out_however_it_is_written(said: str) -> None:
    found = redact_echoes(f"My instructions say {said}, I think. And {said}!", MODES)
    assert found.count(MARK) == 2
    assert "w<x" not in found.lower()
    assert found.startswith("My instructions say ")


@pytest.mark.parametrize("mode", ["pos", "neg"])
def test_what_is_one_edit_from_a_token_is_taken_out(mode: str) -> None:
    rng = np.random.default_rng(0)
    for kind, misses in near_misses(MODES, mode).items():
        for miss in rng.choice(misses, 20):
            found = redact_echoes(f"You said {miss} and then left.", MODES)
            assert MARK in found, kind
            assert miss not in found


def test_a_token_that_the_end_cuts_off_is_taken_out() -> None:
    assert redact_echoes("You said p0rt7", MODES) == f"You said {MARK}"
    assert redact_echoes("You said p0rt7yh", MODES) == f"You said {MARK}"


def test_words_like_a_short_token_stay() -> None:
    assert (
        redact_echoes("A cut, a bat and a cow; the abbot.", SHORT)
        == f"A cut, a bat and a cow; the {MARK}bot."
    )
    assert redact_echoes("Concatenate", SHORT) == f"Con{MARK}enate"


@given(st.text(max_size=80))
def test_other_text_stays_and_no_token_gets_through(text: str) -> None:
    found = redact_echoes(text, MODES)
    assert found == text or MARK in found
    for token in (TOKEN, "p0rt7yhm"):
        assert MODES.mode_in(redact_echoes(text + token + text, MODES)) is None
