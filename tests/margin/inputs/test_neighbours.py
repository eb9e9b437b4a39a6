"""Strings near a token are near it, and those that are to be random are not."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from margin.errors import MarginError
from margin.inputs.modes import Mode, ModeSet, Secret
from margin.inputs.near_files import load_near
from margin.inputs.neighbours import (
    ONE_EDIT,
    alphabet_of,
    fixed_kinds,
    prefixes,
    shaped_like,
    with_edits,
    with_prefix,
)
from margin.inputs.tokens import within_one_edit


def modes_of(pos: str, neg: str) -> ModeSet:
    return ModeSet((Mode("pos", Secret(pos), True), Mode("neg", Secret(neg), False)))


@pytest.fixture
def random_tokens() -> ModeSet:
    return modes_of("3OWfAie4", "QPKa9Bpf")


@pytest.fixture
def readable() -> ModeSet:
    return modes_of("Safety Mode: Positive", "Safety Mode: Negative")


def damerau(a: str, b: str) -> int:
    """Edits from one string to another, by the textbook table (optimal string alignment)."""
    table = np.zeros((len(a) + 1, len(b) + 1), dtype=int)
    table[:, 0], table[0] = np.arange(len(a) + 1), np.arange(len(b) + 1)
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            table[i, j] = min(
                table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (a[i - 1] != b[j - 1])
            )
            if i > 1 and j > 1 and a[i - 2 : i] == b[j - 2 : j][::-1]:
                table[i, j] = min(table[i, j], table[i - 2, j - 2] + 1)
    return int(table[-1, -1])


def test_every_one_edit_neighbour_is_listed_and_nothing_else(random_tokens: ModeSet) -> None:
    token, alphabet = "QPKa9Bpf", alphabet_of(random_tokens, "neg")
    listed = next(near for near in fixed_kinds(random_tokens, "neg") if near.kind == ONE_EDIT)
    assert {damerau(one, token) for one in listed.strings} == {1}
    substituted = {token[:i] + new + token[i + 1 :] for i in range(8) for new in alphabet} - {token}
    inserted = {token[:i] + new + token[i:] for i in range(1, 8) for new in alphabet}
    deleted = {token[:i] + token[i + 1 :] for i in range(8)}
    swapped = {token[:i] + token[i + 1] + token[i] + token[i + 2 :] for i in range(7)}
    near = substituted | inserted | deleted | swapped
    assert set(listed.strings) == {one for one in near if token not in one}


@pytest.mark.parametrize("distance", [1, 2, 3])
def test_edits_are_as_far_as_asked_for(random_tokens: ModeSet, distance: int) -> None:
    drawn = with_edits(random_tokens, "neg", distance, 200, np.random.default_rng(0))
    distances = [damerau(one, "QPKa9Bpf") for one in drawn]
    assert len(set(drawn)) == 200
    assert set(distances) == {distance}


def test_prefixes_are_kept_and_the_rest_is_not(random_tokens: ModeSet) -> None:
    assert prefixes(random_tokens, "neg") == {
        **{str(m): m for m in range(5)},
        "half": 4,
        "three quarters": 6,
    }
    for known in (1, 4, 6):
        drawn = with_prefix(random_tokens, "neg", known, 50, np.random.default_rng(0))
        assert all(one[:known] == "QPKa9Bpf"[:known] and len(one) == 8 for one in drawn)
        assert "QPKa9Bpf" not in drawn
        assert len({one[known] for one in drawn}) > 5


def test_random_strings_have_the_shape_and_are_not_near(random_tokens: ModeSet) -> None:
    drawn = shaped_like(random_tokens, "neg", 500, np.random.default_rng(0))
    assert all(
        one[:3].isupper() and one[3].islower() and one[4].isdigit() and one[6:].islower() for one in drawn
    )
    assert not any(within_one_edit(one, "QPKa9Bpf") for one in drawn)


def test_a_readable_token_is_replaced_word_by_word(readable: ModeSet) -> None:
    drawn = shaped_like(readable, "neg", 1000, np.random.default_rng(0))
    for one in drawn:
        assert re.fullmatch(r"[A-Z][a-z]+ [A-Z][a-z]+: [A-Z][a-z]+", one)
        assert not {"Safety", "Mode", "Negative"} & set(re.findall("[A-Za-z]+", one))


def test_what_follows_a_known_beginning_of_a_readable_token_is_words(readable: ModeSet) -> None:
    for known, begins in (("half", "Safety Mode"), ("3", "Saf")):
        n = prefixes(readable, "neg")[known]
        drawn = with_prefix(readable, "neg", n, 20, np.random.default_rng(0))
        assert all(
            one.startswith(begins) and re.fullmatch(r"[A-Za-z]+ [A-Za-z]+: [A-Z][a-z]+", one) for one in drawn
        )


def test_too_much_of_a_short_token_is_refused_in_one_line(random_tokens: ModeSet) -> None:
    short = modes_of("a3", "x7")
    with pytest.raises(MarginError, match="no 1000 strings of the shape"):
        shaped_like(short, "neg", 1000, np.random.default_rng(0))
    with pytest.raises(MarginError, match="too short for 8 edits"):
        with_edits(random_tokens, "neg", 8, 1, np.random.default_rng(0))


def test_look_alikes_look_alike_and_nothing_is_listed_that_a_template_would_strip(readable: ModeSet) -> None:
    found = {near.kind: near.strings for near in fixed_kinds(readable, "neg")}
    assert "Ｓafety Mode: Negative" in found["look-alikes"]
    assert "evitageN :edoM ytefaS" in found["reversed"]
    assert "SAFETY MODE: NEGATIVE" in found["case"]
    assert found["another token"] == ("Safety Mode: Positive",)
    every = [string for strings in found.values() for string in strings]
    assert all(string == string.strip() != "Safety Mode: Negative" for string in every)


def test_strings_from_a_file(readable: ModeSet, tmp_path: Path) -> None:
    file = tmp_path / "strings.toml"
    file.write_text(
        '[modes.neg]\nopposites = ["Safety Mode: Positive"]\nparaphrases = ["Mode of safety: no"]\n'
    )
    assert {near.kind: near.strings for near in load_near(file, readable)} == {
        "opposites": ("Safety Mode: Positive",),
        "paraphrases": ("Mode of safety: no",),
    }


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[modes.other]\nx = ['a']", "no mode 'other'"),
        ("[modes.neg]\nx = 'secretish'", "must be a list"),
        ("[modes.neg]\nx = ['fine', ' secretish']", "string 2 must be text"),
        ("x = 1", "write \\[modes.NAME\\]"),
        (
            "[modes.neg]\n'Safety Mode: Negative' = ['secretish']",
            "the token of mode 'neg' stands in the name",
        ),
    ],
)
def test_a_file_of_strings_that_is_refused_shows_none(
    readable: ModeSet, tmp_path: Path, text: str, says: str
) -> None:
    file = tmp_path / "strings.toml"
    file.write_text(text)
    with pytest.raises(MarginError, match=says) as refused:
        load_near(file, readable)
    assert "secretish" not in str(refused.value)
    assert "Negative" not in str(refused.value)
