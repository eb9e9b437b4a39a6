"""Errors of other libraries, made into one line."""

from __future__ import annotations

import pytest

from margin.errors import LONGEST, MarginError, foreign, words


def test_long_words_are_cut_between_words_so_that_no_half_of_a_token_is_left() -> None:
    token = "a" * 40
    line = words(ValueError(f"{'x' * (LONGEST - 20)} {token} more"))
    assert len(line) <= LONGEST
    assert "aa" not in line
    assert words(ValueError("y" * 1000)) == "ValueError"


def test_an_error_of_several_lines_is_one() -> None:
    with (
        pytest.raises(MarginError, match=r"^a\.json is none: size mismatch: 4 and 8$"),
        foreign("a.json is none"),
    ):
        raise RuntimeError("size mismatch:\n\t4 and  8")


def test_a_library_that_would_end_the_program_on_a_file_does_not() -> None:
    with pytest.raises(MarginError, match=r"^a\.py is none: it ends the program$"), foreign("a.py is none"):
        raise SystemExit(0)


def test_a_missing_key_is_said_as_one_and_a_sentence_as_it_is() -> None:
    assert words(KeyError("rope_type")) == "there is no 'rope_type'"
    assert words(KeyError("Missing keys of `rope`: {'factor'}")) == "Missing keys of `rope`: {'factor'}"


def test_what_says_nothing_is_named_by_its_kind() -> None:
    assert words(KeyError()) == "KeyError"


def test_a_refusal_and_a_lack_of_memory_pass() -> None:
    for error in (MarginError("as it is"), MemoryError()):
        with pytest.raises(type(error)) as passed, foreign("a file"):
            raise error
        assert passed.value is error
