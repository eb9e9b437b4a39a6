"""What a run asks of its model, apart from which model it asks."""

from __future__ import annotations

from margin.errors import IncomparableError
from margin.run.manifest import Record, differences
from margin.run.run import Run

QUESTION = (
    "tokenizer",
    "chat_template",
    "chat_kwargs",
    "response_prefix",
    "tail",
    "placement",
    "system",
    "modes",
    "prompts",
)
"""Entries of a run's identity that decide what the model is asked. Weights, precision, attention and batching
are left out: they are the answer's."""


def question(identity: Record) -> Record:
    """The part of a run's identity that is what the model is asked."""
    return {name: identity.get(name) for name in QUESTION}


def require_same_question(first: Run, other: Run) -> None:
    """IncomparableError that names each difference in what the models of two runs were asked."""
    found = differences(question(first.manifest.identity), question(other.manifest.identity))
    if found:
        raise IncomparableError(
            f"{other.path.name} cannot be compared with {first.path.name} (there): {'; '.join(found)}"
        )
