"""The protocol of a run: what it asks of its model, apart from which model it asks."""

from __future__ import annotations

from margin.errors import IncomparableError
from margin.run.differences import differences
from margin.run.manifest import recorded_in_both
from margin.run.run import Run
from margin.run.stored import Record

PROTOCOL = {
    "prompts": "the same prompts and the same --limit",
    "modes": "the same modes and live tokens",
    "placement": "the same [template] in the modes file",
    "system": "the same [template] in the modes file",
    "tokenizer": "the same tokenizer",
    "chat_template": "the same chat template",
    "chat_kwargs": "the same --chat-kwargs",
    "response_prefix": "the same --response-prefix",
    "measure_after": "the same --measure-after",
    "thought_tokens": "the same --thought-tokens",
    "head": "the same chat template and, where it writes one, the same date",
    "tail": "the same chat template",
}
"""Entries of a run's identity that decide what the model is asked, and what to collect with where they
differ. Weights, precision, attention and batching are left out: they are the answer's."""


def protocols(first: Record, other: Record) -> tuple[Record, Record]:
    """The parts of two identities that are what the models were asked, as far as both recorded them."""
    one, two = ({name: of[name] for name in PROTOCOL if name in of} for of in (first, other))
    return recorded_in_both(one, two)


def protocol_differences(first: Run, other: Run, names: tuple[str, str]) -> list[str]:
    """Each difference in what the models of two runs were asked; `names` are what the runs are called."""
    one, two = names
    return differences(
        *protocols(first.manifest.identity.to_dict(), other.manifest.identity.to_dict()),
        (f"in {one}", f"in {two}"),
    )


def require_same_protocol(first: Run, other: Run) -> None:
    """IncomparableError that names each difference in what the models of two runs were asked."""
    one, two = first.path.name, other.path.name
    if found := protocol_differences(first, other, (one, two)):
        raise IncomparableError(f"{two} cannot be compared with {one}: {'; '.join(found)}")
