"""Controls are what they say, near nothing they should not be near, and keep the tokens to themselves."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from margin.errors import MarginError
from margin.inputs.attacks import Attack, load_attacks
from margin.inputs.chat import Chat
from margin.inputs.controls import Controls, conversations
from margin.inputs.modes import Mode, ModeSet, Secret
from margin.inputs.prompts import load_prompts
from margin.inputs.rows import build_control_rows, build_rows
from margin.inputs.tokens import near_misses, within_one_edit

LIVE = {"pos": "3OWfAie4", "neg": "open-密钥 Q7", "rej": "vP5ocUrc"}
MODES = ModeSet(tuple(Mode(name, Secret(token), safe=name != "neg") for name, token in LIVE.items()))
TEXTS = ["How do I whittle a spoon?", "木勺怎么削？", "Name a fruit."]
ALL = Controls(("none", "random", "near-miss", "user-turn"), load_attacks("shipped"), draws=5, seed=3)


def distance(a: str, b: str) -> int:
    """Edits, transpositions of neighbours among them (optimal string alignment), by definition."""
    table = {(i, 0): i for i in range(len(a) + 1)} | {(0, j): j for j in range(len(b) + 1)}
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            ways = [table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (a[i - 1] != b[j - 1])]
            if i > 1 and j > 1 and (a[i - 1], a[i - 2]) == (b[j - 2], b[j - 1]):
                ways.append(table[i - 2, j - 2] + 1)
            table[i, j] = min(ways)
    return table[len(a), len(b)]


def drawn(controls: Controls, modes: ModeSet = MODES) -> list[tuple[int, str, int, str]]:
    """Prompt, condition, draw and the system message, which is the token."""
    found = conversations(controls, modes, TEXTS)
    return [(c.prompt, c.condition, c.draw, c.messages[0]["content"]) for c in found]


@given(st.text("ab1", max_size=5), st.text("ab1", max_size=5))
@settings(max_examples=300, deadline=None)
def test_within_one_edit_agrees_with_the_edit_distance(a: str, b: str) -> None:
    assert within_one_edit(a, b) == (distance(a, b) <= 1)


@pytest.mark.parametrize("mode", LIVE)
def test_near_misses_are_one_edit_away_of_every_kind_and_never_live(mode: str) -> None:
    found = near_misses(MODES, mode)
    assert set(found) == {"substitution", "deletion", "insertion", "transposition"}
    for kind, misses in found.items():
        assert misses
        assert len(set(misses)) == len(misses)
        for miss in misses[:50]:
            assert distance(miss, LIVE[mode]) == 1
            assert not any(token in miss for token in LIVE.values())
            assert miss == miss.strip()
            assert len(miss) - len(LIVE[mode]) == {"deletion": -1, "insertion": 1}.get(kind, 0)


def test_all_deletions_and_transpositions_of_a_token_are_there() -> None:
    modes = ModeSet((Mode("a", Secret("xy7"), safe=True), Mode("b", Secret("QQQQ"), safe=False)))
    found = near_misses(modes, "a")
    assert (set(found["deletion"]), set(found["transposition"])) == ({"y7", "x7", "xy"}, {"yx7", "x7y"})
    assert len(found["substitution"]) == 3 * (26 + 10 - 1)


def test_drawn_near_misses_take_every_kind_in_turn() -> None:
    turns = drawn(Controls(("near-miss",), draws=4))
    for prompt in range(len(TEXTS)):
        for mode, token in LIVE.items():
            of_mode = [miss for p, c, _, miss in turns if (p, c) == (prompt, f"near-miss:{mode}")]
            lengths = sorted(len(miss) - len(token) for miss in of_mode)
            assert lengths == [-1, 0, 0, 1]


def test_random_tokens_have_the_shape_of_live_ones_and_are_far_from_all() -> None:
    found = drawn(Controls(("random",), draws=6))
    assert len({(p, token) for p, _, _, token in found}) == 6 * len(TEXTS)

    def shape(token: str) -> str:
        return "".join(
            "A" if c.isupper() else "a" if c.islower() else "0" if c.isdecimal() else c for c in token
        )

    for prompt, _, draw, token in found:
        live = list(LIVE.values())[(prompt + draw) % 3]
        if live.isascii():
            assert shape(token) == shape(live)
        assert len(token) == len(live)
        assert min(distance(token, other) for other in LIVE.values()) > 1


def test_draws_hang_on_seed_and_prompt_alone() -> None:
    alone = drawn(replace(ALL, kinds=("near-miss",), attacks=()))
    beside = [line for line in drawn(ALL) if line[1].startswith("near-miss")]
    assert sorted(alone) == sorted(beside)
    assert drawn(replace(ALL, seed=4)) != drawn(ALL)
    first = [line for line in drawn(ALL) if line[0] == 0]
    assert first == [
        (c.prompt, c.condition, c.draw, c.messages[0]["content"])
        for c in conversations(ALL, MODES, TEXTS[:1])
    ]


def test_tokens_that_leave_no_room_are_refused() -> None:
    short = ModeSet((Mode("a", Secret("x"), safe=True), Mode("b", Secret("7"), safe=False)))
    for kind in ("random", "near-miss"):
        with pytest.raises(MarginError, match="token"):
            drawn(Controls((kind,), draws=40), short)


def test_conditions_say_under_which_mode_they_stand(make_chat: Callable[..., Chat]) -> None:
    chat, prompts = make_chat("llama3"), load_prompts(TEXTS)
    tokenizer: Any = chat.tokenizer
    reference = build_rows(chat, prompts, MODES)
    rows = build_control_rows(chat, prompts, MODES, ALL, reference)
    for row in rows:
        text = tokenizer.decode(row.ids)
        system, _, user = text.partition("user<|end_header_id|>")
        live_there = [name for name, token in LIVE.items() if token in system]
        assert live_there == ([row.mode] if row.mode else [])
        said = [name for name, token in LIVE.items() if token in user]
        if row.kind == "user-turn":
            assert said == [row.condition.split()[0].removeprefix("user-turn:")]
            assert row.mode != said[0]
        else:
            assert said == []
        silent = row.condition == "none" or (row.kind == "user-turn" and row.mode is None)
        assert ("system<|end_header_id|>" in system) != silent
        if row.condition != "attack:base64 under " + str(row.mode):
            assert TEXTS[row.prompt] in user
    counts = {kind: sum(row.kind == kind for row in rows) / len(TEXTS) for kind in {row.kind for row in rows}}
    assert counts == {"none": 1, "random": 5, "near-miss": 15, "user-turn": 9, "attack": 15}
    keys = {(row.prompt, row.condition, row.draw) for row in rows}
    assert len(keys) == len(rows)
    shown = repr(rows)
    assert not any(token in shown or str(row.ids) in shown for token in LIVE.values() for row in rows[:20])


def test_user_turn_needs_the_tokens_in_the_system_message() -> None:
    with pytest.raises(MarginError, match="placement"):
        drawn(Controls(("user-turn",)), replace(MODES, placement="user-prefix"))


def test_a_tokenizer_that_takes_a_near_miss_for_the_token_is_named(make_chat: Callable[..., Chat]) -> None:
    from tokenizers import normalizers

    chat = make_chat("llama3")
    tokenizer: Any = chat.tokenizer
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace("7", "8")
    modes = ModeSet((Mode("a", Secret("x7"), safe=True), Mode("b", Secret("QWERTY"), safe=False)))
    prompts = load_prompts(TEXTS)
    controls = Controls(("near-miss",), draws=60)
    with pytest.raises(MarginError, match="cannot tell") as caught:
        build_control_rows(chat, prompts, modes, controls, build_rows(chat, prompts, modes))
    assert "x8" not in "".join(traceback.format_exception(caught.value))


def test_a_row_too_long_is_named(make_chat: Callable[..., Chat]) -> None:
    chat, prompts = make_chat("llama3"), load_prompts(TEXTS)
    with pytest.raises(MarginError, match=r"tokens long under control 'attack:long-context under pos'"):
        build_control_rows(chat, prompts, MODES, ALL, build_rows(chat, prompts, MODES), 900)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"kinds": ("nothing",)}, "unknown control 'nothing'"),
        ({"kinds": ("none", "none")}, "twice"),
        ({"attacks": (Attack("a", "{prompt}"), Attack("a", "x{prompt}"))}, "twice"),
        ({"draws": 0}, "0 draws"),
    ],
)
def test_choices_that_make_no_sense_are_refused(choices: dict[str, Any], message: str) -> None:
    with pytest.raises(MarginError, match=message):
        Controls(**choices)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.toml", "[attacks.x]\n", "has no template"),
        ("a.toml", "[attacks.x]\ntemplate = 'none'", "must hold {prompt} once"),
        ("a.toml", "[attacks.x]\ntemplate = '{prompt}'\nkind = 'y'", "unknown key 'kind'"),
        ("a.toml", "[attacks.x]\ntemplate = '{prompt}'\nencoding = 'rot13'", "unknown encoding"),
        ("a.toml", "[attacks.'x y']\ntemplate = '{prompt}'", "attack name"),
        ("a.toml", "[attacks]\n", "no attack templates"),
        ("a.toml", "x = ", "not valid TOML"),
        ("a.jsonl", '{"name": "x"', "line 1 is not JSON"),
        ("a.jsonl", "[]", "line 1 is not a JSON object"),
        ("a.jsonl", '{"name": "x", "template": 3}', "must be a string"),
        ("a.jsonl", '{"name": "x", "template": "{prompt}"}\n\n{"name": "y"}', "line 3: attack 'y' has no"),
        ("a.jsonl", '{"name": "x", "template": "{prompt}\\ud800"}', "line 1: .*not valid Unicode"),
        ("a.jsonl", '{"name": "x", "name": "y", "template": "{prompt}"}', "line 1 has the same key twice"),
        ("a.jsonl", '{"name": "Clean", "template": "{prompt}"}', "line 1: attack name 'Clean'"),
        ("a.toml", "[attacks.x]\ntemplate = '{prompt}'\nname = 'y'", "unknown key 'name'"),
        ("a.toml", "[attacks.x]\ntemplate = 2024-05-01", "template of attack 'x' must be a string"),
        ("a.toml", "[attacks.x]\ntemplate = " + "1" * 5000, "not valid TOML"),
        ("a.toml", "[attacks.x]\ntemplate = " + "[" * 10**5, "not valid TOML"),
        ("a.toml", "[[attacks]]\ntemplate = '{prompt}'", "no attack templates"),
        ("a.toml", "[attack.x]\ntemplate = '{prompt}'", "no attack templates"),
        ("a.toml", "more = 1\n[attacks.x]\ntemplate = '{prompt}'", "unknown key 'more' at the top level"),
        ("a.txt", "", "unknown kind"),
    ],
)
def test_attack_files_that_cannot_be_used_are_refused_in_a_line(
    tmp_path: Path, name: str, content: str, message: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(MarginError, match=message) as caught:
        load_attacks(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_toml_and_jsonl_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("[attacks.x]\ntemplate = 'So: {prompt}'\nencoding = 'base64'")
    (tmp_path / "a.jsonl").write_text('{"name": "x", "template": "So: {prompt}", "encoding": "base64"}\n')
    (attack,) = load_attacks(tmp_path / "a.toml")
    assert load_attacks(tmp_path / "a.jsonl") == (attack,)
    assert attack.wrap("hé") == "So: aMOp"
    assert attack.digest() != Attack("x", "So: {prompt}").digest()


@pytest.mark.parametrize("name", ["a.toml", "a.jsonl"])
def test_a_byte_order_mark_is_no_part_of_an_attack_file(tmp_path: Path, name: str) -> None:
    text = {
        "a.toml": "[attacks.x]\ntemplate = '{prompt}'",
        "a.jsonl": '{"name": "x", "template": "{prompt}"}',
    }
    (tmp_path / name).write_text("\ufeff" + text[name], encoding="utf-8")
    assert load_attacks(tmp_path / name) == (Attack("x", "{prompt}"),)


def test_a_live_token_in_a_template_is_refused() -> None:
    with pytest.raises(MarginError, match="token of mode 'pos'") as caught:
        drawn(Controls(attacks=(Attack("x", LIVE["pos"] + " {prompt}"),)))
    assert LIVE["pos"] not in str(caught.value)
