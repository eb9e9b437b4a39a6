"""An option of collecting is said once: Python, the command line and the documentation have it from there."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import Any, get_type_hints

import click
import numpy as np
import pytest

import margin
from margin.commands.collect import collect as command
from margin.commands.session import QUIET_HELP
from margin.errors import MarginError
from margin.inputs.conditions import by_name
from margin.inputs.options import CaptureKeywords, CaptureOptions

OPTIONS = {option.name: option for option in fields(CaptureOptions)}


def test_keywords_are_typed_as_the_options_are() -> None:
    assert get_type_hints(CaptureKeywords) == get_type_hints(CaptureOptions)


@pytest.mark.parametrize("name", OPTIONS)
def test_python_shows_every_option_with_its_default_and_what_it_means(name: str) -> None:
    parameter = inspect.signature(margin.collect).parameters[name]
    assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
    assert parameter.default == OPTIONS[name].default
    documented = " ".join((margin.collect.__doc__ or "").split())
    assert f"{name} : {OPTIONS[name].metadata['help']}" in documented


@pytest.mark.parametrize("name", [name for name, it in OPTIONS.items() if it.metadata["on_command_line"]])
def test_the_command_line_has_every_option_with_its_default(name: str) -> None:
    (option,) = [it for it in command.params if it.name == name]
    assert isinstance(option, click.Option)
    assert option.opts == [f"--{name.replace('_', '-')}"]
    # What is quiet is said in the same words by every command.
    assert option.help == (QUIET_HELP if name == "quiet" else OPTIONS[name].metadata["help"])
    expected = OPTIONS[name].default
    if expected is False:
        assert option.is_flag
    else:
        assert option.default == (None if expected in ((), "") else expected)


def test_every_condition_is_explained_where_it_is_asked_for() -> None:
    for name in by_name():
        assert f"{name} (" in OPTIONS["controls"].metadata["help"]


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        ({"positions": 0}, "positions 0: take at least 1"),
        ({"generate": -1}, "generate -1: take at least 0"),
        ({"batch_tokens": 0}, "batch_tokens 0: take at least 1"),
        ({"batch_tokens": "few"}, "batch_tokens few: take a whole number, at least 1"),
        ({"noise_prompts": 1.5}, "noise_prompts 1.5: take a whole number, at least 0"),
        ({"seed": -1}, "seed -1"),
        ({"seed": "auto"}, "seed auto: take a whole number"),
        ({"draws": 0}, "draws 0: take at least 1"),
        ({"top_k": 0}, "top_k 0: take at least 1"),
        ({"shard_rows": "one\ntwo"}, "shard_rows one"),
        ({"top_k": True}, "top_k True: take a whole number, at least 1"),
        ({"limit": "3"}, "limit 3: take a whole number, at least 1"),
        ({"limit": 0}, "limit 0: take at least 1"),
        ({"save_logits": "yes"}, "save_logits yes: take true or false"),
        ({"controls": "random"}, "controls random: take a list of names"),
        ({"controls": [5]}, "controls of type list: take a list of names"),
        ({"layers": [1.5]}, "layers of type list: take a text or a list of whole numbers"),
        ({"layers": None}, "layers of type NoneType: take a text"),
        ({"chat_kwargs": "a long text, perhaps with a token"}, "chat_kwargs of type str: take a mapping"),
        ({"chat_kwargs": {1: 2}}, "chat_kwargs of type dict: take a mapping"),
        *(({name: ""}, f"{name} is empty") for name in ("attacks", "extracts", "decoys", "chat_template")),
        ({"attacks": 5}, "attacks 5: take a text or a path"),
        ({"response_prefix": None}, "response_prefix of type NoneType: take a text"),
    ],
)
def test_a_value_that_cannot_be_is_refused_in_a_line_before_anything_is_read(
    choice: dict[str, Any], says: str
) -> None:
    with pytest.raises(MarginError) as refused:
        margin.collect("no-model", prompts="no-prompts", modes="no-modes", out="/nowhere", **choice)
    assert str(refused.value).startswith(says)
    assert "\n" not in str(refused.value)


def test_a_number_of_numpy_is_a_number() -> None:
    given: dict[str, Any] = {"top_k": np.int64(3), "batch_tokens": "auto", "layers": np.array([0, -1])}
    options = CaptureOptions(**given)
    assert type(options.top_k) is int
    assert options.batch_tokens == "auto"
    assert options.layers == (0, -1)
    assert CaptureOptions(limit=None, controls=["none"], layers="0,8").controls == ("none",)


def test_an_option_there_is_not_is_an_error_of_the_call() -> None:
    wrong: dict[str, Any] = {"layer": "all"}
    with pytest.raises(TypeError, match="layer"):
        margin.collect("no-model", prompts="no-prompts", modes="no-modes", out="/nowhere", **wrong)
