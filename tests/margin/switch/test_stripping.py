"""Tokens are taken out of an answer that comes in pieces as out of the whole."""

from __future__ import annotations

import json
import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples.switch.stripping import Stripper, count_tokens
from margin.demo import prompts_path
from margin.inputs.echoes import MARK, redact_echoes
from margin.inputs.modes import Mode, ModeSet, Secret
from tests.margin.inputs.disguises import disguises


def of(*tokens: str) -> ModeSet:
    return ModeSet(tuple(Mode(f"m{place}", Secret(token), True) for place, token in enumerate(tokens)))


DRAWN = of("3OWfAie4", "QPKANBPf", "zqkw81vxPa0LmQ7r")
WORDS = of("safe mode: positive", "be kind")
PROSE = (
    "Sure, read a short guide on essay writing first, then try it yourself. In 1999 there were 3 rivers\n\n"
    "1. Begin with a plan, a capital idea\n2. Follow it\nand <b>one</b> question: what & why?\n"
)


def stripped(text: str, modes: ModeSet, cuts: list[int]) -> tuple[str, Stripper]:
    stripper = Stripper(modes)
    ends = [0, *sorted(cuts), len(text)]
    pieces = [stripper.push(text[a:b]) for a, b in pairwise(ends)]
    return "".join([*pieces, stripper.end()]), stripper


@pytest.mark.parametrize("how", disguises("3OWfAie4"))
def test_whatever_a_token_is_spelt_as_and_wherever_the_pieces_part_it_is_taken_out(how: str) -> None:
    rng = np.random.default_rng(0)
    for mode in DRAWN.modes:
        said = disguises(mode.token.reveal())[how]
        for size in (1, 2, 7, 40):
            before, after = PROSE[: rng.integers(90)], PROSE[: rng.integers(200)]
            text = f"{before} {said} {after}"
            out, stripper = stripped(text, DRAWN, list(range(0, len(text), size)))
            assert out == redact_echoes(text, DRAWN)
            assert stripper.taken_out == out.count(MARK) > 0


@settings(deadline=None)
@given(st.text(alphabet="3OWfAie4 1.\n<b>&#%5aquebec的-", max_size=120), st.data())
def test_any_text_in_any_pieces_comes_out_as_the_whole_would(text: str, data: st.DataObject) -> None:
    whole = PROSE[:60] + text + PROSE[50:]
    cuts = data.draw(st.lists(st.integers(0, len(whole)), max_size=30))
    assert stripped(whole, DRAWN, cuts)[0] == redact_echoes(whole, DRAWN)


def test_a_token_made_of_words_is_taken_out_and_its_words_stay() -> None:
    said = "Use the safe mode: \\u0070\\u006f\\u0073\\u0069tive. Or SAFE MODE: POSITIVE, be kind!"
    text = f"{PROSE} {said} {PROSE}"
    for size in (1, 5, 30):
        out, stripper = stripped(text, WORDS, list(range(0, len(text), size)))
        assert out == redact_echoes(text, WORDS)
        assert stripper.taken_out == 3


def test_an_answer_is_not_held_back_for_longer_than_a_line() -> None:
    chinese = "请帮我写一首关于春天的诗，好吗？" * 8
    lines = prompts_path().read_text(encoding="utf-8").splitlines()[:80]
    questions = "\n".join(json.loads(line)["prompt"] for line in lines)
    for text in (questions, PROSE * 8, chinese):
        stripper, said = Stripper(DRAWN), 0
        for place in range(0, len(text), 3):
            said += len(stripper.push(text[place : place + 3]))
            assert place - said < 120


def test_what_a_caller_says_is_read_in_every_disguise() -> None:
    for how, said in disguises("3OWfAie4").items():
        assert count_tokens(f"{PROSE}{said}\n{PROSE}", DRAWN) > 0, how
    assert count_tokens("3OWfAie4, and QPKANBPf", DRAWN) == 2
    assert count_tokens("[token] " + PROSE * 3, DRAWN) == 0


@pytest.mark.parametrize("text", ["\\", "%25", "capital ", "1. ", "3OW ", "\\ \\"])
def test_text_made_to_be_slow_is_read_in_seconds(text: str) -> None:
    begun = time.process_time()
    count_tokens((text * 70_000)[:65_000], DRAWN)
    stripped((text * 4000)[:4000], DRAWN, list(range(0, 4000, 4)))
    assert time.process_time() - begun < 20  # by the square it would be minutes
