"""What a run asks of its model, apart from which model it asks."""

from __future__ import annotations

from margin.errors import IncomparableError
from margin.run.differences import differences
from margin.run.manifest import Record
from margin.run.run import Run

QUESTION = {
    "prompts": "the same prompts and the same --limit",
    "modes": "the same modes and live tokens",
    "placement": "the same [template] in the modes file",
    "system": "the same [template] in the modes file",
    "tokenizer": "the same tokenizer",
    "chat_template": "the same chat template",
    "chat_kwargs": "the same --chat-kwargs",
    "response_prefix": "the same --response-prefix",
    "tail": "the same chat template",
}
"""Entries of a run's identity that decide what the model is asked, and what to collect with where they
differ. Weights, precision, attention and batching are left out: they are the answer's."""


def question(identity: Record) -> Record:
    """The part of a run's identity that is what the model is asked."""
    return {name: identity.get(name) for name in QUESTION}


def require_same_question(first: Run, other: Run) -> None:
    """IncomparableError that names each difference in what the models of two runs were asked."""
    sides = (f"in {first.path.name}", f"in {other.path.name}")
    found = differences(question(first.manifest.identity), question(other.manifest.identity), sides)
    if found:
        raise IncomparableError(
            f"{other.path.name} cannot be compared with {first.path.name}: {'; '.join(found)}"
        )
