"""The tokens of the comparison, from the environment: three, and six composed of behaviour and policy."""

from __future__ import annotations

import os
from pathlib import Path

from margin.inputs.modes import ModeSet
from margin.inputs.modes_file import load_modes

HERE = Path(__file__).parent
THREE, SIX = HERE / "modes.toml", HERE / "policies.toml"
BEHAVIOURS, POLICIES = ("POS", "NEG", "REJ"), ("EN", "ZH")


def load_tokens() -> tuple[ModeSet, ModeSet]:
    """Mode sets of three modes and of six, from MARGIN_POS, _NEG, _REJ and the policies' MARGIN_EN, _ZH.

    A mode of a policy has the token of its behaviour and that of its policy, in this order; where a variable
    such as MARGIN_POS_EN is set, it has that one.

    Raises
    ------
    MarginError : a variable is not set.
    """
    for policy in POLICIES:
        for behaviour in BEHAVIOURS:
            parts = [os.environ.get(_variable(part)) for part in (behaviour, policy)]
            if None not in parts:
                os.environ.setdefault(_variable(behaviour, policy), " ".join(map(str, parts)))
    return load_modes(THREE), load_modes(SIX)


def _variable(*parts: str) -> str:
    return "_".join(("MARGIN", *parts))
