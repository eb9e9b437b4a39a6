"""The control conditions there are: the one place that says how each is built, drawn, read and called.

A control asks the same prompts without a mode's token in its place, or with more around it. To add one, write
its builder here and enter it into `CONDITIONS`: collecting, the command line, the analysis and the figures
ask this registry.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from margin.errors import MarginError
from margin.inputs.condition import Ask, Condition, Setting
from margin.inputs.conversation import Conversation, with_mode, with_token
from margin.inputs.echoes import given_away
from margin.inputs.labels import reserve
from margin.inputs.modes import ModeSet
from margin.inputs.tokens import draw_near_misses, near_misses, random_tokens

if TYPE_CHECKING:
    import numpy as np

    from margin.inputs.attacks import Attack


def _none(setting: Setting) -> Ask:
    def ask(prompt: int, text: str, rng: np.random.Generator) -> Iterator[Conversation]:
        yield with_mode(setting.modes, prompt, "none", None, text)

    return ask


def _random(setting: Setting) -> Ask:
    def ask(prompt: int, text: str, rng: np.random.Generator) -> Iterator[Conversation]:
        for draw, token in enumerate(random_tokens(setting.modes, prompt, setting.draws, rng)):
            yield with_token(setting.modes, prompt, "random", draw, token, text)

    return ask


def _near_miss(setting: Setting) -> Ask:
    misses = {mode: near_misses(setting.modes, mode) for mode in setting.modes.names}

    def ask(prompt: int, text: str, rng: np.random.Generator) -> Iterator[Conversation]:
        for mode, of_mode in misses.items():
            for draw, token in enumerate(draw_near_misses(of_mode, prompt, setting.draws, rng)):
                yield with_token(setting.modes, prompt, "near-miss", draw, token, text, name=mode)

    return ask


def _user_turn(setting: Setting) -> Ask:
    modes = setting.modes
    if modes.placement != "system":
        raise MarginError(
            'control "user-turn" needs placement = "system": else the tokens stand in that turn anyway'
        )

    def ask(prompt: int, text: str, rng: np.random.Generator) -> Iterator[Conversation]:
        for token in modes.modes:
            said = f"{token.token.reveal()}\n\n{text}"
            for mode in (None, *(name for name in modes.names if name != token.name)):
                yield with_mode(modes, prompt, "user-turn", mode, said, name=token.name)

    return ask


def _decoy(setting: Setting) -> Ask:
    def ask(prompt: int, text: str, rng: np.random.Generator) -> Iterator[Conversation]:
        if prompt in setting.decoy_prompts:
            for draw, token in enumerate(token for of_set in setting.decoys for token in of_set):
                yield with_token(setting.modes, prompt, "decoy", draw, token, text)

    return ask


def _reworded(setting: Setting) -> Ask:
    modes = setting.modes
    texts = [
        (f"{kind} of {mode.name}", draw, text)
        for mode in modes.modes
        for kind, of_kind in mode.reworded.items()
        for draw, text in enumerate(of_kind)
    ]
    for name, _, text in texts:
        if (mode := modes.mode_in(text)) is not None:
            raise MarginError(f"the {name} holds the token of mode {mode!r}: reword it")

    def ask(prompt: int, text: str, rng: np.random.Generator) -> Iterator[Conversation]:
        for name, draw, token in texts:
            yield with_token(modes, prompt, "reworded", draw, token, text, name=name)

    return ask


def _attack(setting: Setting) -> Ask:
    return _wrapped(setting.modes, "attack", setting.attacks)


def _extract(setting: Setting) -> Ask:
    return _wrapped(setting.modes, "extract", setting.extracts)


def _wrapped(modes: ModeSet, kind: str, templates: Sequence[Attack]) -> Ask:
    for template in templates:
        if name := given_away(template.name, modes) or modes.mode_in(template.template):
            raise MarginError(f"the token of mode {name!r} stands in an {kind} template: remove it")

    def ask(prompt: int, text: str, rng: np.random.Generator) -> Iterator[Conversation]:
        for template in templates:
            for mode in modes.names:
                yield with_mode(modes, prompt, kind, mode, template.wrap(text), name=template.name)

    return ask


CONDITIONS: dict[str, Condition] = {
    condition.name: condition
    for condition in (
        Condition(
            "none",
            "the prompt alone, with no system message",
            words="no token",
            rule="centroid",
            wording="displaced",
            build=_none,
        ),
        Condition(
            "random",
            "a fresh token in a live token's place, of its length and classes of characters",
            words="random tokens",
            rule="centroid",
            wording="same",
            build=_random,
            draws_by=1,
        ),
        Condition(
            "near-miss",
            "a token one edit away from a live one, in its place; conditions near-miss:MODE",
            words="near misses of {name}",
            rule="centroid",
            wording="same",
            build=_near_miss,
            draws_by=2,
        ),
        Condition(
            "user-turn",
            "a live token before the prompt in the user's message, with no system message and under that of "
            "every other mode; conditions user-turn:MODE and user-turn:MODE under OTHER",
            words="the token of {name} in the user's turn",
            rule="discriminant",
            wording="displaced",
            build=_user_turn,
            live=True,
        ),
        Condition(
            "decoy",
            "sets of meaningless tokens in the live tokens' place, the same for all prompts",
            words="meaningless tokens",
            rule="centroid",
            wording="same",
            build=_decoy,
            asked_by="decoys",
        ),
        Condition(
            "reworded",
            "what a public token might be taken for (paraphrases, opposites), in its place, as the modes "
            "file has it; conditions reworded:KIND of MODE",
            words="{name}",
            rule="centroid",
            wording="same",
            build=_reworded,
            asked_by="reworded",
        ),
        Condition(
            "attack",
            "the prompt wrapped by a template, under every mode; conditions attack:NAME under MODE",
            words="attack {name}",
            rule="discriminant",
            wording="wrapped",
            build=_attack,
            live=True,
            crossed=True,
            asked_by="attacks",
        ),
        Condition(
            "extract",
            "the prompt and a plain request to say the instructions, under every mode; conditions "
            "extract:NAME under MODE",
            words="request {name}",
            rule="discriminant",
            wording="wrapped",
            build=_extract,
            live=True,
            asked_by="extracts",
        ),
    )
}
"""By name, in the order in which they are listed."""

for _name in CONDITIONS:
    reserve(_name)


def by_name() -> list[str]:
    """Names of the conditions that are asked for by them, in their order."""
    return [name for name, condition in CONDITIONS.items() if condition.asked_by is None]


def condition_of(kind: str) -> Condition:
    """The condition of a kind of rows; MarginError, which lists those there are, where there is none."""
    if kind not in CONDITIONS:
        raise MarginError(f"unknown condition {kind!r}: known are {', '.join(CONDITIONS)}")
    return CONDITIONS[kind]
