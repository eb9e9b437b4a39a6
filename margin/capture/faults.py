"""What goes wrong between engines, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from margin.errors import MarginError


class StatesRefusedError(MarginError):
    """States that rows which were run again do not agree with. `faults`: rows by the name of their fault."""

    def __init__(self, message: str, faults: Mapping[str, int]) -> None:
        super().__init__(message)
        self.faults = dict(faults)


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong between engines."""

    name: str
    advice: str


BEFORE_NORM = Fault("before-norm states", "name them layer.{depth}, and the final norm is applied here")
AFTER_NORM = Fault("after-norm states", "name them states")
LAYER = Fault("another layer", "number the layers as they are: 0 the embeddings, L the output of block L")
SHIFTED = Fault("shifted positions", "take the last token of the prompt, before any of the answer")
OTHER_ROW = Fault("another request's states", "check how requests and ids were joined")
CUT = Fault("cut prefix", "run whole prompts, with all tokens from the first on and no prefix left out")
DOUBLED = Fault("doubled beginning", "the template writes the first token: have the engine add none")
UNASKED = Fault("no system message", "check that the engine's template writes the system message")
WRONG_TYPE = Fault("wrong dtype", "label the numbers as what they are, or save them as float32")
NOT_FINITE = Fault("not finite", "the engine overflowed, or left the array as it was: run these rows anew")
EMPTY = Fault("empty rows", "these rows were never written: run them anew")
OTHER = Fault(
    "other states",
    "nothing that was tried explains them: another model, adapter, quantisation, template or token?",
)


@dataclass(frozen=True)
class Explained:
    """What a row holds, in words that follow "they hold", and how nearly."""

    fault: Fault
    says: str
    error: float
    cut: int = 0
    """Tokens that are gone, of a cut."""
