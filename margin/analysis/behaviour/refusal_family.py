"""What the phrases of a refusal are written down as."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Family:
    """Phrases of one kind, any of which makes an opening a refusal."""

    name: str
    """What an answer's match is reported as."""
    pattern: str
    """Regular expression."""
    where: Literal["clause", "sentence", "whole", "first"] = "clause"
    """Tried at the start of a clause, anywhere in a sentence, on all of a sentence, on all of the first."""
    after_apology: bool = False
    """Whether the words refuse only where an apology or regret stands in the opening too."""
