"""Rows of a set of tokens with states patched and attention cut, in the cheapest way that was proved equal.

A patched state is followed up at the last position only, from its block on (`margin.capture.replay`); a cut
is made in a pass that begins at its block (`margin.capture.skipping`). Where that is not the plain way's
result (`margin.capture.trace_ways`), the plain way is taken: a whole pass under a hook.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor
from transformers import PreTrainedModel

from margin.capture.hooks import HiddenStateHooks
from margin.capture.interventions import Cut, Replace, patching
from margin.capture.loop import Forward
from margin.capture.plan import Batch, Ids, make_plan, shared_prefix
from margin.capture.replay import Replay, Seen
from margin.capture.skipping import Skipping
from margin.run.records import Batching

TOGETHER = 4096
"""Changed states that go through a block together."""

Span = tuple[int, int]


@dataclass(frozen=True)
class TokenRows:
    """n prompts, each once under each of k tokens."""

    ids: Sequence[Ids]
    """Token ids, prompt-major: prompt i under token m is row i * k + m."""
    spans: tuple[Span, ...]
    """Where each token's ids stand in its rows, the same in all of them."""

    @property
    def k(self) -> int:
        """Number of tokens."""
        return len(self.spans)

    @property
    def n(self) -> int:
        """Number of prompts."""
        return len(self.ids) // self.k

    def of(self, token: int) -> Sequence[Ids]:
        """The rows of one token, by prompt."""
        return self.ids[token :: self.k]


@dataclass(frozen=True)
class Way:
    """How patches and cuts are computed, and why."""

    replay: bool
    """Whether a patched state is followed up at the last position only."""
    replay_reason: str
    skip: bool
    """Whether a cut pass begins at its block."""
    skip_reason: str
    cut: bool
    """Whether attention can be cut at all."""
    cut_reason: str


@dataclass(frozen=True, eq=False)
class Pass:
    """A pass over B rows as they are."""

    batch: Batch
    states: Tensor
    """(B, d) final states: what the head sees."""
    layers: dict[int, Tensor]
    """(B, d) the last position's state, by layer."""
    seen: Mapping[int, Seen]
    """What its blocks were given; empty where nothing is replayed."""


class Tracer:
    """Runs the rows of one set of tokens, as they are, patched and cut; made by `Tracing.of`."""

    def __init__(self, tracing: Tracing, rows: TokenRows) -> None:
        self._tracing, self._rows = tracing, rows
        names = [str(token) for token in range(rows.k)]
        prefixes = {}
        if tracing.batching.reuse_prefix:
            shared = {name: shared_prefix(rows.of(token)) for token, name in enumerate(names)}
            prefixes = {name: prefix for name, prefix in shared.items() if prefix and rows.n > 1}
        before = {name: tuple(rows.ids[token][: rows.spans[token][1]]) for token, name in enumerate(names)}
        model, hooks = tracing.model, tracing.hooks
        self._prefixes = {name: len(prefix) for name, prefix in prefixes.items()}
        self._forward = Forward(model, hooks, rows.ids, prefixes)
        self._cut_prefixes = (
            {name: len(its) for name, its in before.items()} if tracing.batching.reuse_prefix else {}
        )
        self._cut_forward = Forward(model, hooks, rows.ids, before)

    def batches(self, batch_tokens: int) -> list[tuple[int, ...]]:
        """All prompts, in batches that hold so many tokens under each token."""
        tracing, rows = self._tracing, self._rows
        longest = max(range(rows.k), key=lambda token: len(rows.ids[token]))
        plan = make_plan(
            rows.of(longest),
            ["0"] * rows.n,
            budget=batch_tokens if tracing.batching.together else 1,
            shard_rows=rows.n,
            reuse_prefix=tracing.batching.reuse_prefix,
            pad=tracing.batching.pad,
        )
        return [batch.rows for batch in chain(*plan.batches)]

    def run(self, prompts: Sequence[int], token: int, *, replay: bool = True) -> Pass:
        """The rows of some prompts under a token, as they are."""
        batch = self._batch(prompts, token, self._prefixes)
        if replay and self._tracing.way.replay:
            with self._tracing.replay.recording() as seen:
                self._forward(batch)
        else:
            seen = {}
            self._forward(batch)
        found = self._tracing.hooks.captured()
        layers = {layer: found[f"layer.{layer}"] for layer in self._tracing.hooks.requested}
        return Pass(batch, found["state"], layers, seen)

    def patched(self, passed: Pass, changes: Mapping[int, Tensor]) -> Tensor:
        """(B, Q, d) float32 final states where the last position's state after a layer is another.

        `changes` are (B, c, d) by layer; results come in the order of the layers.
        """
        return torch.cat([self._some(passed, some) for some in _in_parts(changes, TOGETHER)], dim=1)

    def _some(self, passed: Pass, changes: Mapping[int, Tensor]) -> Tensor:
        tracing = self._tracing
        if passed.seen:
            return tracing.replay(passed.seen, changes).float()
        return self.patched_plainly(passed, changes)

    def patched_plainly(self, passed: Pass, changes: Mapping[int, Tensor]) -> Tensor:
        """The same by whole passes, one for each row, layer and state where rows may not share a batch."""
        tracing, found = self._tracing, []
        size = TOGETHER if tracing.batching.together else 1
        for place, row in enumerate(passed.batch.rows):
            of_row = []
            for layer in sorted(changes):
                states = changes[layer][place]
                for some in torch.split(states, max(1, size // len(self._rows.ids[row]))):
                    of_row.append(self._whole(row, layer, some))
            found.append(torch.cat(of_row))
        return torch.stack(found)

    def _whole(self, row: int, layer: int, states: Tensor) -> Tensor:
        """(c, d) final states of whole passes over one row, with each of the states (c, d) after a layer."""
        tracing, ids = self._tracing, self._rows.ids[row]
        forward = Forward(tracing.model, tracing.hooks, [ids] * len(states), {})
        with patching(tracing.model, Replace(layer, states), len(ids) - 1):
            forward(Batch(tuple(range(len(states))), "", 0))
        return tracing.hooks.final_states()[:, 0].float()

    def cut(self, prompts: Sequence[int], token: int, layers: Sequence[int]) -> Tensor:
        """(B, layers, d) float32 final states where after a layer no later position attends to the token."""
        tracing, found = self._tracing, []
        batch = self._batch(prompts, token, self._cut_prefixes)
        forward, skip = self._cut_forward, tracing.skip
        if tracing.way.skip:
            skip.keeping = True
            forward(batch)
            skip.keeping = False
        for layer in layers:
            skip.blocks = layer if tracing.way.skip else 0
            with patching(tracing.model, Cut(layer, self._rows.spans[token])):
                forward(batch)
            found.append(tracing.hooks.final_states()[:, 0].float())
        skip.forget()
        return torch.stack(found, dim=1)

    def _batch(self, prompts: Sequence[int], token: int, prefixes: Mapping[str, int]) -> Batch:
        name = str(token)
        rows = tuple(prompt * self._rows.k + token for prompt in prompts)
        return Batch(rows, name, prefixes.get(name, 0))


@dataclass(frozen=True, eq=False)
class Tracing:
    """A model that can be traced, and the ways that were proved for it; made by `tracing`."""

    model: PreTrainedModel
    hooks: HiddenStateHooks
    replay: Replay
    skip: Skipping
    batching: Batching
    way: Way
    head: Callable[[Tensor], Tensor]
    """(B, d) float32 final states to (B, V) logits."""

    def of(self, rows: TokenRows) -> Tracer:
        """What runs the rows of a set of tokens."""
        return Tracer(self, rows)


def _in_parts(changes: Mapping[int, Tensor], size: int) -> Iterator[dict[int, Tensor]]:
    """Changes in the same order, in parts of about `size` states over all rows."""
    part: dict[int, Tensor] = {}
    held = 0
    for layer in sorted(changes):
        most = max(1, size // len(changes[layer]))
        for some in torch.split(changes[layer], most, dim=1):
            if (held and held + some.shape[0] * some.shape[1] > size) or layer in part:
                yield part
                part, held = {}, 0
            part[layer] = some
            held += some.shape[0] * some.shape[1]
    if part:
        yield part
