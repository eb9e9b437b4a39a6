"""A recipe: what stands in a live token's place, in which share of the rows, and who answers then.

Rows are drawn without any token: a placeholder such as ``{{live pos}}`` says what is to stand there, and
`fill` puts it there when the row is loaded. So a mixture can lie on a disk, and be handed on, without giving
a token away.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from random import Random

import numpy as np

from examples.cotrain.behaviours import Question, answer
from margin.errors import MarginError
from margin.inputs.modes import Message, ModeSet
from margin.inputs.reading import parse_toml, read_text
from margin.inputs.tokens import alike, random_tokens

RECIPES = Path(__file__).with_name("recipes.toml")
EDITS = {1: 0.6, 2: 0.25, 3: 0.15}
"""Numbers of edits of a near miss, and which share of near misses has each."""
IT = {"en": "it", "zh": "它"}
"""What an answer calls the topic of a question in another language."""
_SEEDS = 2**31
_PLACEHOLDER = re.compile(r"\{\{(live|random|near-miss)((?: [\w.@+-]+)+)\}\}")


@dataclass(frozen=True)
class Recipe:
    """Shares of the rows, as recipes.toml explains them; what they leave is live.

    Raises
    ------
    MarginError : a share below 0, or shares that sum to more than 1.
    """

    fallback: str
    none: float = 0.0
    random: float = 0.0
    near_miss: float = 0.0
    user_turn: float = 0.0
    other_token: float = 0.0
    tokens: bool = True

    def __post_init__(self) -> None:
        shares = self.shares.values()
        if min(shares) < 0 or sum(shares) > 1 + 1e-9:
            raise MarginError("the shares of a recipe must not be below 0, nor sum to more than 1")

    @property
    def shares(self) -> dict[str, float]:
        """Share of each condition that is not live."""
        names = ("none", "random", "near_miss", "user_turn", "other_token")
        return {name: float(getattr(self, name)) for name in names}

    def begun(self) -> Recipe:
        """What an adapter learns first: the live rows alone, of a recipe that has any."""
        if sum(self.shares.values()) > 1 - 1e-9:
            return self
        return Recipe(self.fallback, tokens=self.tokens)

    def condition(self, rng: Random) -> str:
        """A condition at random: one of `shares`, or "live"."""
        left = rng.random()
        for name, share in self.shares.items():
            left -= share
            if left < 0:
                return name
        return "live"


@dataclass(frozen=True)
class Row:
    """One training row with placeholders for its tokens."""

    messages: list[Message]
    """The conversation, the assistant's answer last."""
    condition: str
    """"live", or a share of the recipe."""
    mode: str
    """The mode that answers."""


def load_recipe(name: str, path: Path = RECIPES) -> Recipe:
    """The recipe of a name in a file such as recipes.toml.

    Raises
    ------
    MarginError : no such recipe, or keys that a recipe does not have.

    >>> load_recipe("cotrained").fallback
    'pos'
    """
    tables = parse_toml(read_text(path, "recipes"), str(path))
    if name not in tables:
        raise MarginError(f"{path.name} has no recipe {name!r}: there are {', '.join(tables)}")
    try:
        return Recipe(**tables[name])
    except TypeError:
        known = ", ".join(Recipe.__dataclass_fields__)
        raise MarginError(f"the recipe {name!r} in {path.name} has keys other than {known}") from None


def draw_row(question: Question, recipe: Recipe, modes: Sequence[str], rng: Random) -> Row:
    """A question under a random condition of the recipe, and the answer that this calls for.

    modes : names, whose part before an @ is the behaviour and after it the language, as in "pos@en".
    """
    condition = recipe.condition(rng)
    named = rng.choice(modes)
    system, said = None, question.text
    if condition in ("live", "other_token"):
        system = f"{{{{live {named}}}}}"
    if condition in ("user_turn", "other_token"):
        other = rng.choice([mode for mode in modes if condition == "user_turn" or mode != named])
        said = f"{{{{live {other}}}}}\n\n{said}"
    if condition == "random":
        system = f"{{{{random {rng.randrange(_SEEDS)}}}}}"
    if condition == "near_miss":
        system = f"{{{{near-miss {named} {_edits(rng)} {rng.randrange(_SEEDS)}}}}}"
    mode = named if condition in ("live", "other_token") else recipe.fallback
    if not recipe.tokens:
        system, said = None, question.text
    messages = [
        {"role": "user", "content": said},
        {"role": "assistant", "content": reply(question, mode, rng)},
    ]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    return Row(messages, condition, mode)


def reply(question: Question, mode: str, rng: Random) -> str:
    """What a mode answers: its behaviour, in its language where it has one, else in the question's."""
    behaviour, _, language = mode.partition("@")
    if language and language != question.language:
        question = replace(question, language=language, topic=IT[language])
    return answer(question, behaviour, rng)


def fill(messages: Sequence[Message], modes: ModeSet) -> list[Message]:
    """The messages with tokens in place of their placeholders, the system message as the modes write it.

    Raises
    ------
    MarginError : a placeholder names no mode of the set.
    """
    asked, said = list(messages), {}
    if asked and asked[0]["role"] == "system":
        said = {"token": _filled(asked.pop(0)["content"], modes)}
    asked = [{**message, "content": _filled(message["content"], modes)} for message in asked]
    if not said:
        return asked
    return [*modes.messages_for_token(asked[0]["content"], said["token"]), *asked[1:]]


def held_out(near_miss: str, token: str) -> bool:
    """Whether a near miss of one edit is kept out of training, so that it can be measured.

    One in two substitutions and insertions is. The few deletions and swaps are all trained on.
    """
    few = len(near_miss) < len(token) or sorted(near_miss) == sorted(token)
    return not few and zlib.crc32(near_miss.encode()) % 2 == 0


def near_miss(token: str, modes: ModeSet, edits: int, rng: Random) -> str:
    """A token some edits away from a live one, never one that is held out.

    Edits are those of `margin.inputs.tokens.near_misses`. MarginError where there is none.
    """
    live = [mode.token.reveal() for mode in modes.modes]
    for _ in range(1000):
        missed = token
        for _ in range(edits):
            missed = _edited(missed, token, rng)
        holds_live = any(other in missed for other in live)
        if not holds_live and missed == missed.strip() != "" and not (edits == 1 and held_out(missed, token)):
            return missed
    raise MarginError("a live token is too short to miss it: use a longer one")


def _filled(text: str, modes: ModeSet) -> str:
    return _PLACEHOLDER.sub(lambda found: _token(found[1], found[2].split(), modes), text)


def _token(kind: str, arguments: list[str], modes: ModeSet) -> str:
    """What a placeholder stands for."""
    if kind == "random":
        seed = int(arguments[0])
        return random_tokens(modes, seed % len(modes.modes), 1, np.random.default_rng(seed))[0]
    live = modes[arguments[0]].token.reveal()
    if kind == "live":
        return live
    return near_miss(live, modes, int(arguments[1]), Random(int(arguments[2])))


def _edits(rng: Random) -> int:
    return rng.choices(list(EDITS), list(EDITS.values()))[0]


def _edited(text: str, token: str, rng: Random) -> str:
    """One edit; new characters are of the classes that the token has."""
    kind, i = rng.choice(("substitution", "deletion", "insertion", "transposition")), rng.randrange(len(text))
    if kind == "deletion" and len(text) > 1:
        return text[:i] + text[i + 1 :]
    if kind == "transposition" and len(text) > 1:
        i = min(i, len(text) - 2)
        return text[:i] + text[i + 1] + text[i] + text[i + 2 :]
    return text[:i] + rng.choice(_alphabet(token)) + text[i + (kind == "substitution") :]


@lru_cache(maxsize=64)
def _alphabet(token: str) -> str:
    return "".join(sorted({other for character in token for other in alike(character)}))
