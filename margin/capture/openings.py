"""A checkpoint that is asked with any string in a token's place: the points its answers begin from.

One session for many strings: the model is hooked, its batching verified and the modes' own rows run once.
Strings and rows stay in memory; nothing of them is written, printed or put into an error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from margin.capture.answers import Answer, greedy_answers
from margin.capture.budget import Budget, within_memory
from margin.capture.checkpoint import Checkpoint
from margin.capture.distributions import affine_geometry
from margin.capture.head import Head
from margin.capture.hooks import HiddenStateHooks
from margin.capture.loop import Forward, NotFiniteError
from margin.capture.placement import input_device
from margin.capture.plan import BATCH_COST, BATCH_COST_ON_ACCELERATOR, Batch, Ids, make_plan, shared_prefix
from margin.capture.rotary import steady_up_to
from margin.capture.thinking import decoder
from margin.errors import MarginError, discreet
from margin.inputs.chat import Chat
from margin.inputs.frame import Frame, frame_with_token, frame_without_token
from margin.inputs.modes import ModeSet
from margin.inputs.prompts import PromptSet
from margin.run.geometry import from_factor
from margin.run.records import Batching

Float = NDArray[np.float64]
Place = Literal["token", "user"]
"""Where a string stands: where the modes' tokens stand, or before the prompt in the user's turn, with no
system message."""
ASKED = "asked"
LOGITS = 64
"""Rows whose logits are held at a time."""
REUSED = 16
"""Tokens that all rows begin with from which on they are run once: fewer cost less than the pass."""


@dataclass(frozen=True, eq=False)
class Asking:
    """Prompts asked with strings in a token's place."""

    checkpoint: Checkpoint
    chat: Chat = field(repr=False)
    modes: ModeSet
    prompts: PromptSet
    live: Sequence[Ids] = field(repr=False)
    """Token ids of the modes' own rows, prompt-major."""
    starts: Sequence[int] = field(repr=False)
    """Number of ids before those of the prompt in each."""
    hooks: HiddenStateHooks = field(repr=False)
    head: Head = field(repr=False)
    batching: Batching
    batch_tokens: int = 1024
    advance: Callable[[int], None] = field(default=lambda rows: None, repr=False)
    """Told of rows done."""

    @discreet
    def rows(self, strings: Sequence[str], prompts: Sequence[int], place: Place = "token") -> list[list[int]]:
        """Token ids of every string with every one of some prompts, string-major.

        Proved by one prompt of each string: encoded whole, the row is the head's ids and then the prompt's;
        where the string runs into the text behind it each row is encoded whole.

        Raises
        ------
        MarginError : a row that is longer than the model's context; a template that writes no prompt alone.
        """
        frame = self._framed if place == "token" else self._unframed
        found = []
        for string in strings:
            head = self.chat.encode(frame.head(string)) if place == "token" else None
            for n, prompt in enumerate(prompts):
                rest = self._rests[prompt]
                if n == 0 or head is None:
                    whole = self.chat.encode(self._text(frame, string, prompt, place))
                    head = head if head is not None and whole == [*head, *rest] else None
                    found.append(whole)
                else:
                    found.append([*head, *rest])
        context = self.checkpoint.context
        if context is not None and any(len(ids) > context for ids in found):
            raise MarginError(
                f"a prompt with what is tried is longer than the model's context of {context} tokens: leave "
                "out the longest prompts"
            )
        return found

    def text_before(self, place: Place) -> str:
        """What the template writes before a string in its place."""
        return (self._framed if place == "token" else self._unframed).before

    def points(self, rows: Sequence[Ids]) -> Float:
        """(m, d) coordinates of rows in the space of the headline margin, or the state where it has none."""
        return self.coordinates(self.states(rows))

    def states(self, rows: Sequence[Ids]) -> NDArray[np.float32]:
        """(m, d) final states of rows."""
        reuse = self.batching.reuse_prefix and len(rows) > 1 and len(shared_prefix(rows)) >= REUSED
        on_cpu = input_device(self.checkpoint.model).type == "cpu"
        plan = make_plan(
            rows,
            [ASKED] * len(rows),
            budget=self.batch_tokens if self.batching.together else 1,
            reuse_prefix=reuse,
            pad=self.batching.pad,
            batch_cost=BATCH_COST if on_cpu else BATCH_COST_ON_ACCELERATOR,
        )
        forward = Forward(self.checkpoint.model, self.hooks, rows, plan.prefixes)
        budget = Budget(self.batch_tokens)
        states: NDArray[np.float32] | None = None

        def run(batch: Batch) -> NDArray[np.float32]:
            forward(batch)
            found: NDArray[np.float32] = self.hooks.captured()["state"].float().cpu().numpy()
            return found

        for batches in plan.batches:
            for batch, of_batch in within_memory(run, batches, rows, budget):
                if not np.isfinite(of_batch).all():
                    raise NotFiniteError(batch.rows)
                if states is None:
                    states = np.empty((len(rows), of_batch.shape[1]), dtype=np.float32)
                states[list(batch.rows)] = of_batch
                self.advance(len(batch.rows))
        assert states is not None
        return states

    def as_slope_of_states(self, slope: Float) -> Float:
        """(m, D) gradients in the space of `points` as gradients (m, d) by the final states."""
        if self._geometry is None:
            return slope
        factor, column_sum = (self._geometry[name].astype(np.float64) for name in ("factor", "column_sum"))
        along_ones = np.outer(slope[:, -1], column_sum) / np.sqrt(self.head.vocabulary)
        found: Float = (slope[:, :-1] @ factor.T + along_ones)[:, :-1]
        return found

    def live_points(self) -> Float:
        """(n, k, d) points of all prompts under all modes."""
        points = self.points(self.live)
        return points.reshape(len(self.prompts), len(self.modes.names), -1)

    def predicted(self) -> tuple[str, float]:
        """Text of the token that most live rows predict, as secret as a live one, and the share that do."""
        states = self.states(self.live)
        parts = np.array_split(states, 1 + len(states) // LOGITS)
        first = np.concatenate([self.head(part).argmax(axis=1) for part in parts])
        ids, counts = np.unique(first, return_counts=True)
        text = decoder(self.checkpoint.tokenizer)([int(ids[counts.argmax()])])
        return text, float(counts.max() / len(first))

    def answers(self, rows: Sequence[Ids], length: int) -> list[str]:
        """What the model says to rows, at most `length` tokens each. As secret as a token it may hold."""
        batches = [
            batch
            for shard in make_plan(
                rows,
                [ASKED] * len(rows),
                budget=self.batch_tokens if self.batching.together else 1,
                reuse_prefix=False,
                extra_tokens=length,
            ).batches
            for batch in shard
        ]
        longest = max(map(len, rows))
        mixed = self.batching.reuse_prefix and longest + length <= steady_up_to(self.checkpoint.model)
        found: dict[int, Answer] = {}
        with self.hooks.disabled():
            for batch in batches:
                found |= greedy_answers(
                    self.checkpoint, rows, [batch], length, Budget(self.batch_tokens), mixed=mixed
                )
                self.advance(len(batch.rows))
        decode = self.checkpoint.tokenizer.decode
        return [str(decode(list(found[row].ids), skip_special_tokens=True)) for row in range(len(rows))]

    @cached_property
    def _framed(self) -> Frame:
        return frame_with_token(self.chat, self.modes)

    @cached_property
    def _unframed(self) -> Frame:
        return frame_without_token(self.chat, self.modes)

    @cached_property
    def _rests(self) -> list[list[int]]:
        """Ids of each prompt and the tail, as under the modes."""
        k = len(self.modes.names)
        return [list(ids[start:]) for ids, start in zip(self.live[::k], self.starts[::k], strict=True)]

    @cached_property
    def _prompts_as_rendered(self) -> list[str]:
        """Each prompt as the template writes it, which may strip it."""
        first, frame = self.modes.modes[0], self._framed
        opens, closes = len(frame.head(first.token.reveal())), len(frame.tail)
        rendered = (self.chat.render(self.modes.messages(text, first.name)) for text in self.prompts.texts)
        return [text[opens : len(text) - closes] for text in rendered]

    def _text(self, frame: Frame, string: str, prompt: int, place: Place) -> str:
        said = self._prompts_as_rendered[prompt]
        if place == "token":
            return frame.head(string) + said + frame.tail
        return f"{frame.before}{string}\n\n{said}{frame.tail}"

    @cached_property
    def _geometry(self) -> dict[str, NDArray[np.generic]] | None:
        return affine_geometry(self.head) if self.head.softcap is None else None

    def coordinates(self, states: NDArray[np.float32]) -> Float:
        """(m, D) coordinates of final states (m, d), as `points` gives them of rows."""
        if self._geometry is None:
            return states.astype(np.float64)
        made = from_factor(
            states,
            np.zeros(len(states), dtype=np.float32),
            self._geometry["factor"].astype(np.float32),
            self._geometry["column_sum"].astype(np.float64),
            self.head.vocabulary,
        ).points
        assert made is not None
        return np.asarray(made, dtype=np.float64)
