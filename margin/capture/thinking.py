"""What a model writes by itself before the measured token, up to a text such as the end of a thought."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase, StoppingCriteria, StoppingCriteriaList

from margin.capture.answers import end_ids, greedy, padded_left
from margin.capture.budget import Budget, within_memory
from margin.capture.checkpoint import Checkpoint
from margin.capture.placement import input_device
from margin.capture.plan import Batch, Ids, of_one_length
from margin.errors import MarginError
from margin.inputs.moment import BLANKS, Moment


@dataclass(frozen=True)
class Thought:
    """What a model wrote to a row, the likeliest token each time."""

    ids: tuple[int, ...]
    """Its tokens; of one that ended, to the last before the measured one. They may spell out a live token."""
    ended: bool
    """Whether it came to the text that ends it."""
    cut: bool = False
    """Whether it had not when its tokens were used up; one that neither ended nor was cut, the model left."""


class _Watch(StoppingCriteria):
    """Stops each row of a batch where it has come to the text, left, or used up its tokens.

    Keeps how many tokens it had then.
    """

    def __init__(
        self, text_of: Callable[[Ids], str], moment: Moment, ends: Sequence[int], start: int, limit: int
    ) -> None:
        self._text_of, self._moment, self._ends = text_of, moment, set(ends)
        self._start, self._limit = start, limit
        self._window = _window(moment)
        self._done: set[int] = set()
        self.lengths: dict[int, int] = {}
        """By place in the batch, of the rows that came to the text."""
        self._closed: dict[int, int] = {}

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        length = input_ids.shape[1] - self._start
        for row, ids in enumerate(input_ids[:, -min(length, self._window) :].tolist()):
            if row not in self._done:
                self._look(row, ids, length)
        return torch.tensor([row in self._done for row in range(len(input_ids))], device=input_ids.device)

    def _look(self, row: int, ids: list[int], length: int) -> None:
        if ids[-1] in self._ends:
            self._done.add(row)
        elif self._moment.text in (text := self._text_of(ids)):
            closed = self._closed.setdefault(row, length)
            after = text.rpartition(self._moment.text)[2]
            then = self._moment.then
            if then is None:
                goes_on = not after.strip() and length - closed <= BLANKS
            else:
                goes_on = then.startswith(after)
            if goes_on or length == closed:
                self.lengths[row] = length
            if not goes_on or after == then:
                self._done.add(row)
        elif length >= self._limit:
            self._done.add(row)


def greedy_thoughts(
    checkpoint: Checkpoint,
    ids: Sequence[Ids],
    batches: Sequence[Batch],
    moment: Moment,
    length: int,
    budget: Budget,
    *,
    mixed: bool,
) -> Iterator[dict[int, Thought]]:
    """What the model writes to the rows of some batches, at most `length` tokens, by row, a batch at a time.

    Batched, padded and greedy as `margin.capture.answers.greedy_answers`; each row stops for itself. Costs a
    pass a row and one a token. MarginError for a model that cannot generate.
    """
    model: Any = checkpoint.model
    if not model.can_generate():
        raise MarginError(f"{type(model).__name__} cannot generate: collect without --measure-after")
    text_of = decoder(checkpoint.tokenizer)
    # Where an end of turns is the text itself, it ends a thought and no answer.
    ends = [end for end in end_ids(checkpoint) if text_of([end]) not in moment.text]

    def think(batch: Batch) -> dict[int, Thought]:
        tokens, mask = padded_left([ids[row] for row in batch.rows])
        start, device = tokens.shape[1], input_device(model)
        watch = _Watch(text_of, moment, ends, start, length)
        said = model.generate(
            tokens.to(device),
            attention_mask=mask.to(device),
            stopping_criteria=StoppingCriteriaList([watch]),
        )
        return {
            row: _thought(new, watch.lengths.get(place), ends, length)
            for place, (row, new) in enumerate(zip(batch.rows, said[:, start:].tolist(), strict=True))
        }

    if not mixed:
        batches = of_one_length(batches, lambda row: len(ids[row]))
    with greedy(model, length + beyond(moment), ends):
        for _, thoughts in within_memory(think, batches, ids, budget):
            yield thoughts


def decoder(tokenizer: PreTrainedTokenizerBase) -> Callable[[Ids], str]:
    """Text of token ids as it was written, special tokens too."""

    def text_of(ids: Ids) -> str:
        return str(tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))

    return text_of


def then_ids(tokenizer: PreTrainedTokenizerBase, thought: Thought, moment: Moment) -> list[int]:
    """Ids of what the template writes after a thought, less what the model has written of it by itself.

    What it has is kept as it wrote it: before an answer a text may come in other tokens than by itself.
    """
    then = moment.then or ""
    said = decoder(tokenizer)(thought.ids[-_window(moment) :]).rpartition(moment.text)[2]
    rest = then.removeprefix(said) if then.startswith(said) or then.strip() else ""
    return list(tokenizer(rest, add_special_tokens=False)["input_ids"]) if rest else []


def beyond(moment: Moment) -> int:
    """Tokens that the model may write after the text at most, to see whether it goes on as the template."""
    return BLANKS + 1 if moment.then is None else len(moment.then.encode())


def _window(moment: Moment) -> int:
    """Tokens that hold the text and what follows it: a token writes a byte at least."""
    return len(moment.text.encode()) + 1 + beyond(moment)


def _thought(new: list[int], length: int | None, ends: Sequence[int], limit: int) -> Thought:
    """Tokens as they came out of a batch, padding cut off."""
    if length is not None:
        return Thought(tuple(new[:length]), ended=True)
    left = next((place for place, token in enumerate(new[:limit]) if token in ends), None)
    return Thought(tuple(new[:limit] if left is None else new[:left]), ended=False, cut=left is None)
