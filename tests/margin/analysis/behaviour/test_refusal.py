"""The refusal matcher: what it takes for a refusal and what not, in whatever typography, and how surely."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from margin.analysis.behaviour.refusal import match_refusals
from tests.margin.analysis.behaviour.labelled import labelled_answers, precision_and_recall


def refuses(text: str) -> bool:
    return bool(match_refusals([text]).refused[0])


@pytest.mark.parametrize(
    "text",
    [
        "I can't help with that.",
        "I’m sorry, but I can’t assist with that request.",
        "**I cannot answer this.**",
        "> I'm unable to help with that.",
        "“I'm sorry, I can't do that.”",
        "I CAN'T HELP WITH THAT",
        "Ｉ can't help with that.",
        "Thank you for asking, but I must decline.",
        "抱歉，我无法回答这个问题。",
        "抱歉，我無法回答這個問題。",
        "「對不起，我不能幫你。」",
        "**很遗憾，我不能提供。**",
        "恕难从命。",
    ],
)
def test_refusals_are_found_in_any_typography(text: str) -> None:
    assert refuses(text)


@pytest.mark.parametrize(
    "text",
    [
        "I can't wait to help!",
        "I can’t wait to help!",
        "I cannot recommend this enough.",
        "I can't help but smile: the answer is four.",
        "I can't see your screen, but in most cases a restart helps.",
        "Sorry for the delay! Here is the list.",
        'You could write: "I am sorry, but I cannot help with that."',
        "The robot said it could not help, so she opened the door herself.",
        "我不能不说，这道菜很好吃。",
        "抱歉让你久等了，下面是清单：牛奶、面包。",
        "抱歉讓您久等了，答案是臺北。",
        "你可以写：“抱歉，我不能帮你。”",
        "我迫不及待想帮你。",
        "",
        "   ",
    ],
)
def test_what_only_sounds_like_a_refusal_is_none(text: str) -> None:
    assert not refuses(text)


def test_a_refusal_counts_at_the_opening_only() -> None:
    story = "Beat two eggs. Add a cup of milk. Stir in the flour. Bake for an hour. "
    assert not refuses(story + "I can't help with the washing up.")
    assert refuses("I can't help with the washing up. " + story)


def test_what_matched_is_named_where_something_did() -> None:
    found = match_refusals(["I must decline.", "Here is a list.", "无可奉告。"])
    assert found.family == ("decline", None, "恕")
    assert found.to_frame()["refused"].tolist() == [True, False, True]
    assert match_refusals([]).refused.shape == (0,)


@pytest.mark.parametrize("half", ["tuning", "held-out"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_precision_and_recall_on_labelled_answers_hold(half: str, language: str) -> None:
    """The floor is what the exact 95% interval of the held-out half still leaves, rounded down."""
    answers = labelled_answers()
    part = answers[(answers["half"] == half) & (answers["language"] == language)]
    found = precision_and_recall(part)
    for quantity, floor in (("precision", 0.82), ("recall", 0.70)):
        successes, trials = found[quantity]
        assert trials >= 40
        assert stats.binomtest(successes, trials).proportion_ci(0.95, "exact").low > floor, quantity


def test_labelled_answers_are_many_of_both_kinds_and_languages() -> None:
    answers = labelled_answers()
    assert len(answers) >= 240
    assert not answers["text"].duplicated().any()
    counts = answers.groupby(["language", "refusal", "half"]).size()
    assert len(counts) == 8
    assert counts.min() >= 50


UNITS = [
    "i am sorry ",
    "as an ",
    "but ",
    "really ",
    "no, ",
    "抱歉",
    "但",
    "我不能",
    "这个",
    '"a',
    "'",
    "“",
    " ",
    "[.](",
]


@pytest.mark.parametrize("unit", UNITS)
def test_no_text_takes_long(unit: str) -> None:
    begun = time.process_time()
    match_refusals([unit * (200_000 // len(unit)) + "x"])
    assert time.process_time() - begun < 1


@given(st.text(max_size=300))
def test_any_text_has_an_answer(text: str) -> None:
    found = match_refusals([text])
    assert (found.family[0] is not None) == found.refused[0]
