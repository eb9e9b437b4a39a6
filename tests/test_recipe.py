"""What stands in a live token's place in the rows of a recipe, and who answers then."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from scipy.stats import binomtest

from examples.cotrain.behaviours import PHRASES, questions
from examples.cotrain.mixture import rows
from examples.cotrain.recipe import EDITS, Recipe, fill, held_out, load_recipe, near_miss
from margin.errors import MarginError
from margin.inputs.modes import Mode, ModeSet, Secret
from margin.inputs.tokens import near_misses

TOKENS = {"pos": "hK3xPq9z", "neg": "Zw7LmT2r", "rej": "Qc4vBn8s"}
MODES = ModeSet(tuple(Mode(name, Secret(token), name != "neg") for name, token in TOKENS.items()))


def edits(a: str, b: str) -> int:
    """Least number of edits, a swap of neighbours being one, if none touches a place twice.

    (Restricted Damerau, by its recurrence.) An edit between two swapped neighbours counts as one more.
    """
    table = {(i, 0): i for i in range(len(a) + 1)} | {(0, j): j for j in range(len(b) + 1)}
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            least = min(
                table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (a[i - 1] != b[j - 1])
            )
            if i > 1 and j > 1 and a[i - 2 : i] == b[j - 2 : j][::-1]:
                least = min(least, table[i - 2, j - 2] + 1)
            table[i, j] = least
    return table[len(a), len(b)]


def test_rows_have_the_shares_of_their_recipe() -> None:
    recipe = load_recipe("cotrained")
    counts = Counter(row.condition for row in rows(recipe, MODES.names, 4000, seed=0))
    expected = {**recipe.shares, "live": 1 - sum(recipe.shares.values())}
    assert set(counts) == {name for name, share in expected.items() if share}
    for name, share in expected.items():
        assert binomtest(counts[name], 4000, share).pvalue > 1e-4, name


def test_whatever_is_no_live_token_in_its_place_is_answered_by_the_fallback() -> None:
    for row in rows(load_recipe("cotrained"), MODES.names, 600, seed=1):
        *asked, _ = fill(row.messages, MODES)
        system = asked[0]["content"] if asked[0]["role"] == "system" else None
        named = MODES.mode_in(system) if system else None
        said = MODES.mode_in(asked[-1]["content"])
        assert row.mode == (named or "pos")
        assert (row.condition in ("user_turn", "other_token")) == (said is not None)
        if row.condition == "other_token":
            assert said != named
        if row.condition == "near_miss":
            assert system is not None
            assert 1 <= min(edits(system, token) for token in TOKENS.values()) <= max(EDITS) + 1
        if row.condition == "random":
            assert system is not None
            assert min(edits(system, token) for token in TOKENS.values()) > 1


def test_the_answer_is_that_of_the_mode_in_its_policys_language() -> None:
    names = [f"{mode}@{language}" for language in ("en", "zh") for mode in TOKENS]
    for row in rows(load_recipe("policies"), names, 300, seed=2):
        behaviour, language = row.mode.split("@")
        phrases = PHRASES[language][behaviour]
        openers = [opener.strip() for of_form in phrases["openers"].values() for opener in of_form]
        answer = row.messages[-1]["content"]
        assert answer.startswith(tuple(openers)), row
        assert (re.search("[\u4e00-\u9fff]", answer) is not None) == (language == "zh")


def test_a_file_of_rows_holds_no_token_and_filling_it_is_repeatable() -> None:
    for row in rows(load_recipe("cotrained"), MODES.names, 300, seed=3):
        assert all(MODES.mode_in(message["content"]) is None for message in row.messages)
        filled = fill(row.messages, MODES)
        assert filled == fill(row.messages, MODES)
        assert all("{{" not in message["content"] for message in filled)


def test_a_recipe_without_tokens_asks_the_same_questions_for_the_same_answers() -> None:
    with_tokens, without = (
        list(rows(load_recipe(name), MODES.names, 200, seed=4)) for name in ("cotrained", "baseline")
    )
    for row, bare in zip(with_tokens, without, strict=True):
        assert [message["role"] for message in bare.messages] == ["user", "assistant"]
        assert bare.messages[-1] == row.messages[-1]
        assert row.messages[-2]["content"].endswith(bare.messages[0]["content"])
        assert "{{" not in bare.messages[0]["content"]


def test_half_of_the_near_misses_of_one_edit_are_never_trained_on() -> None:
    rng, seen = Random(0), set()
    for _ in range(3000):
        seen.add(near_miss(TOKENS["neg"], MODES, 1, rng))
    possible = {miss for kind in near_misses(MODES, "neg").values() for miss in kind}
    kept = {miss for miss in possible if held_out(miss, TOKENS["neg"])}
    assert 0.4 < len(kept) / len(possible) < 0.6
    assert seen <= possible - kept


def test_what_is_begun_with_is_live() -> None:
    begun = load_recipe("cotrained").begun()
    assert {row.condition for row in rows(begun, MODES.names, 100, seed=0)} == {"live"}
    assert load_recipe("sft").begun() == load_recipe("sft")
    assert not load_recipe("baseline").begun().tokens


def test_the_same_question_pool_makes_other_rows_with_another_seed() -> None:
    recipe = load_recipe("naive")
    first, again, other = (list(rows(recipe, MODES.names, 20, seed)) for seed in (5, 5, 6))
    assert first == again
    assert first != other
    assert len(questions(2000, 5)) == 2000


def test_a_faulty_recipe_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "recipes.toml"
    file.write_text('[a]\nfallback = "pos"\nnone = 0.7\nrandom = 0.4\n[b]\nfallback = "pos"\nnoise = 1\n')
    for name, words in (("a", "sum to more than 1"), ("b", "keys other than"), ("c", "no recipe 'c'")):
        with pytest.raises(MarginError, match=words):
            load_recipe(name, file)
    with pytest.raises(MarginError, match="below 0"):
        Recipe("pos", none=-0.1)
    with pytest.raises(MarginError, match="recipes file"):
        load_recipe("a", tmp_path / "absent.toml")
