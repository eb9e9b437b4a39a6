"""The registry: what is drawn stays as it was, and a condition that is added is known everywhere."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from margin.demo import modes_path, prompts_path
from margin.errors import MarginError
from margin.inputs.attacks import load_attacks
from margin.inputs.chat import Chat
from margin.inputs.condition import Ask, Condition, Setting
from margin.inputs.conditions import CONDITIONS, condition_of
from margin.inputs.controls import Controls, conversations
from margin.inputs.conversation import Conversation, with_token
from margin.inputs.modes import Mode, Secret
from margin.inputs.modes_file import load_modes
from margin.inputs.prompts import load_prompts
from margin.inputs.rows import build_control_rows, build_rows

FIRST = Controls(("none", "random", "near-miss", "user-turn"), load_attacks("shipped"), draws=2)
"""The conditions there were before there was a registry."""
KEPT = "eb1f778aaa0d7da8df29c0e00a1210ea9eda120e6ea8ce2b788ebae4823ad2fd"
"""Of the demo's first 40 prompts under them, as they were asked then. Runs made then are gone on
with, and compared with runs made since, so these must never be others."""
SHARED = Condition(
    "shared-token",
    "one token for all prompts",
    words="one token",
    rule="centroid",
    wording="same",
    build=lambda s: _shared(s),
)


def _shared(setting: Setting) -> Ask:
    def ask(prompt: int, text: str, rng: np.random.Generator) -> Iterator[Conversation]:
        for draw in range(setting.draws):
            token = f"k{rng.integers(10**6):06d}"
            yield with_token(setting.modes, prompt, SHARED.name, draw, token, text)

    return ask


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> Condition:
    """A new condition, first in the registry."""
    others = dict(CONDITIONS)
    for name in others:
        monkeypatch.delitem(CONDITIONS, name)
    for name, condition in {SHARED.name: SHARED, **others}.items():
        monkeypatch.setitem(CONDITIONS, name, condition)
    return SHARED


def asked(controls: Controls) -> list[Conversation]:
    return list(
        conversations(controls, load_modes(modes_path()), load_prompts(prompts_path()).limit(40).texts)
    )


def digest(found: list[Conversation]) -> str:
    """Of all there is to a conversation; the demo's tokens guard nothing."""
    lines = [[c.prompt, c.condition, c.kind, c.mode, c.draw, c.token, c.messages] for c in found]
    return hashlib.sha256(json.dumps(lines, ensure_ascii=False).encode()).hexdigest()


def test_what_the_demo_draws_stays_as_it_always_was() -> None:
    assert digest(asked(FIRST)) == KEPT


def test_neither_a_new_condition_nor_another_order_changes_what_is_drawn(added: Condition) -> None:
    assert digest(asked(FIRST)) == KEPT
    beside = asked(Controls((added.name, *reversed(FIRST.kinds)), FIRST.attacks, draws=2))
    found, alone = (
        {(c.prompt, c.condition, c.draw): c.token for c in of if c.kind != added.name}
        for of in (beside, asked(FIRST))
    )
    assert found == alone


def test_no_two_conditions_draw_alike() -> None:
    keys = [condition.seed_key for condition in CONDITIONS.values()]
    assert len(set(keys)) == len(keys)


def test_a_condition_that_is_added_makes_rows_that_are_proved(
    added: Condition, make_chat: Callable[..., Chat]
) -> None:
    modes, prompts, chat = (
        load_modes(modes_path()),
        load_prompts(["Name a fruit.", "Why?"]),
        make_chat("llama3"),
    )
    controls = Controls((added.name,), draws=3)
    rows = build_control_rows(chat, prompts, modes, controls, build_rows(chat, prompts, modes))
    assert [(row.kind, row.draw) for row in rows] == 2 * [(added.name, draw) for draw in range(3)]
    assert len({tuple(row.ids) for row in rows}) == len(rows)


def test_an_unknown_kind_is_one_line_that_lists_those_there_are() -> None:
    with pytest.raises(MarginError, match="unknown condition 'sideways': known are none, random") as caught:
        condition_of("sideways")
    assert "\n" not in str(caught.value)
    with pytest.raises(MarginError, match="unknown control 'attack': take some of none, random"):
        Controls(("attack",))


def test_no_mode_takes_a_name_of_a_condition_whatever_is_imported_first() -> None:
    script = (
        "from margin.inputs.modes import Mode, Secret\n"
        "try:\n    Mode('near-miss', Secret('a-token'), safe=True)\n"
        "except Exception as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "name of a control condition" in done.stdout, done.stderr
    with pytest.raises(MarginError, match="name of a control condition"):
        Mode("attack", Secret("a-token"), safe=True)
