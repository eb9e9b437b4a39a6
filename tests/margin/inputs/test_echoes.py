"""An answer that repeats its system prompt gives no token away."""

from __future__ import annotations

import html
import json
import string
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from margin.demo import prompts_path
from margin.inputs.echoes import MARK, given_away, redact_echoes
from margin.inputs.modes import Mode, ModeSet, Secret
from margin.inputs.spellings import folded
from margin.inputs.tokens import near_misses
from tests.margin.inputs.disguises import OUT_OF_REACH, disguises

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


def test_a_long_run_of_backslashes_is_read_once() -> None:
    """Reading it anew from each of its places would take minutes."""
    run = "\\" * 50_000
    assert redact_echoes(run, MODES) == run
    assert MARK in redact_echoes(f"{run}u0070" + "0rt7yhm", MODES)


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


LIKE_THE_DEMO = ("3OWfAie4", "QPKANBPf", "vP5ocUrc", "zqkw81vx")
WORDS = (
    "safe mode: positive",
    "be kind",
    "Assistant-helpful",
    "plainspoken",
    "SafeMode",
    "HELPFUL",
    "letters",
)


def of(*tokens: str) -> ModeSet:
    return ModeSet(tuple(Mode(f"m{i}", Secret(token), True) for i, token in enumerate(tokens)))


@pytest.mark.parametrize("how", disguises(LIKE_THE_DEMO[0]))
def test_a_token_in_disguise_is_taken_out(how: str) -> None:
    modes = of(*LIKE_THE_DEMO)
    for token in LIKE_THE_DEMO:
        said = disguises(token)[how]
        found = redact_echoes(f"My instructions say: {said} . That is all.", modes)
        assert MARK in found, token
        assert "My instructions say:" in found
        assert "That is all." in found
        kept, bare = folded(found), folded(token)
        assert not any(bare[i : i + 4] in kept for i in range(len(bare) - 3))


def test_what_is_out_of_reach_is_said() -> None:
    hidden = {how: hide(LIKE_THE_DEMO[0]) for how, hide in OUT_OF_REACH.items()}
    assert {how: redact_echoes(said, of(*LIKE_THE_DEMO)) for how, said in hidden.items()} == hidden


def ordinary_text() -> list[str]:
    """English and Chinese paragraphs that know of no token."""
    root = Path(__file__).parents[3]
    prompts = [json.loads(line)["prompt"] for line in prompts_path().read_text(encoding="utf-8").splitlines()]
    pages = [root / "README.md", root / "CONTRIBUTING.md", *(root / "examples").rglob("README.md")]
    return prompts + [part for page in pages for part in page.read_text(encoding="utf-8").split("\n\n")]


def test_ordinary_text_is_left_alone() -> None:
    rng = np.random.default_rng(0)
    characters = list(string.ascii_letters + string.digits)
    drawn = ["".join(rng.choice(characters, 8)) for _ in range(12)]
    modes = of(*drawn)
    assert [text for text in ordinary_text() if redact_echoes(text, modes) != text] == []


def test_of_a_token_made_of_words_only_the_token_is_taken() -> None:
    """Words that begin like it, parts of it, or its words in other company stay."""
    modes = of(*WORDS)
    for text in (
        "Use the safe mode when the battery is low; a positive answer is kind.",
        "I am kind, so be patient. The assistant was of help: ask it plainly.",
        "A note for the latter, with help from a safe.",
    ):
        assert redact_echoes(text, modes) == text
    assert redact_echoes("Safe-Mode positive, HELPFUL!", modes) == f"{MARK}, {MARK}!"
    assert MARK in redact_echoes("s a f e  m o d e  p o s i t i v e", modes)


@pytest.mark.parametrize("how", disguises(LIKE_THE_DEMO[0]))
def test_a_label_that_is_a_token_in_disguise_is_known(how: str) -> None:
    modes = of(*LIKE_THE_DEMO)
    for place, token in enumerate(LIKE_THE_DEMO):
        said = " ".join(disguises(token)[how].split())  # as values of columns are kept
        assert given_away(said, modes) == f"m{place}"
        assert given_away(f"about {said}", modes) == f"m{place}"


def test_ordinary_labels_and_ids_are_no_alarm() -> None:
    """Words that tokens are made of or begin with, ids in hexadecimal though the tokens are so too."""
    rng = np.random.default_rng(0)
    labels = ["positive", "safe", "POSITIVE", "assistant", "helper", "letter", "help", "plain", "harmful"]
    labels += [" ".join(labels), "en", "zh-Hans", "2026-11-28", "3.14", "1e-05", "user@example.org", "安全"]
    modes = of(*WORDS, "POSITIVE-7Qx", "harmful9Zk3")
    assert [label for label in labels if given_away(label, modes)] == []
    ids = [str(UUID(bytes=rng.bytes(16), version=4)) for _ in range(500)] + [rng.bytes(20).hex()]
    assert not any(given_away(one, of(*(rng.bytes(4).hex() for _ in range(3)))) for one in ids)


def test_pieces_of_a_token_in_a_label_count_together() -> None:
    modes = of(*LIKE_THE_DEMO)
    assert given_away("3OWf or Aie4", modes) == given_away("3OWfA", modes) == "m0"
    assert given_away("3OWf", modes) is None  # four characters alone
