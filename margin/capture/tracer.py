"""Rows of a set of tokens with states patched and attention cut, in the cheapest way that is proved equal.

A patched state is followed up at the last position only, from its block on (`margin.capture.replay`); a cut is
made in a pass that begins at its block (`margin.capture.skipping`). Both are compared, on real rows, with the
plain way, a whole pass under a hook (`margin.capture.interventions`), and left for it with a word where they
differ or a model's form does not allow them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from margin.capture.budget import is_out_of_memory
from margin.capture.hooks import HiddenStateHooks, hidden_state_hooks, n_layers
from margin.capture.interventions import Cut, Replace, patching, why_no_cut
from margin.capture.loop import Forward
from margin.capture.placement import input_device
from margin.capture.plan import Batch, Ids, make_plan, shared_prefix
from margin.capture.replay import Replay, Seen, replaying, why_no_replay
from margin.capture.rounding import tolerance
from margin.capture.skipping import Skipping, skipping
from margin.capture.verification import verify_batching
from margin.errors import MarginError, words
from margin.run.records import Batching

TOGETHER = 4096
"""Changed states that go through a block together."""

Span = tuple[int, int]


@dataclass(frozen=True)
class TokenRows:
    """n prompts, each once under each of k tokens."""

    ids: list[Ids]
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

    def of(self, token: int) -> list[Ids]:
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
        self._cut_prefixes = {name: len(its) for name, its in before.items()} if tracing.batching.reuse_prefix else {}
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
                for some in states.split(max(1, size // len(self._rows.ids[row]))):
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
        """(B, layers, d) float32 final states where, after a layer, no later position attends to the token."""
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


@contextmanager
def tracing(model: PreTrainedModel, rows: TokenRows) -> Iterator[Tracing]:
    """A model made ready to be traced, and as it was afterwards; `rows` are what it is proved on.

    MarginError where a model cannot be tapped, keeps states of another form, or where even the plain way of
    patching does not come out as it must. Costs some forty passes of a row.
    """
    depth = n_layers(model)
    with (
        hidden_state_hooks(model, range(depth + 1)) as hooks,
        replaying(model, hooks) as replay,
        skipping(model) as skip,
    ):
        groups = [str(token) for _ in range(rows.n) for token in range(rows.k)]
        batching, head = verify_batching(model, hooks, rows.ids, groups)
        way = Way(False, "", False, "", False, "")
        found = Tracing(model, hooks, replay, skip, batching, way, head.logits)
        yield _proved(found, rows)


def _proved(tracing: Tracing, rows: TokenRows) -> Tracing:
    """The same with the ways of computing that come out as the plain one."""
    limit = tolerance(tracing.model.dtype)
    lengths = [len(ids) for ids in rows.of(0)]
    prompts = list(dict.fromkeys([int(np.argmax(lengths)), int(np.argmin(lengths))]))
    if not tracing.batching.pad or not tracing.batching.together:
        prompts = prompts[:1]
    _require_patchable(tracing, rows, prompts[:1], limit)
    way = replace(tracing.way, replay=True)
    tried = replace(tracing, way=way)
    if (against := why_no_replay(tracing.model)) is not None:
        replay, reason = False, f"{against}: every patched row is a whole pass"
    else:
        moved, how = _moved(lambda: _patches(tried.of(rows), prompts), lambda: _patches(tracing.of(rows), prompts))
        replay = moved <= limit
        reason = (
            f"a patched state is followed up at the last position only, which {how}"
            if replay
            else f"following up the last position only {how}: every patched row is a whole pass"
        )
    skip, skip_reason, cut, cut_reason = _ways_to_cut(tracing, rows, prompts, limit)
    return replace(tracing, way=Way(replay, reason, skip, skip_reason, cut, cut_reason))


def _patches(tracer: Tracer, prompts: Sequence[int]) -> Tensor:
    """Final states of a few patches: from the second token to the first, in layers over the whole depth."""
    recipient, donor = tracer.run(prompts, 0), tracer.run(prompts, 1, replay=False)
    layers = dict.fromkeys(np.linspace(0, max(donor.layers), 5).round().astype(int).tolist())
    return tracer.patched(recipient, {layer: donor.layers[layer][:, None] for layer in layers})


def _require_patchable(tracing: Tracing, rows: TokenRows, prompts: Sequence[int], limit: float) -> None:
    """A state replaced by itself changes nothing, and the last layer's by a donor's gives the donor's."""
    tracer, depth = tracing.of(rows), n_layers(tracing.model)
    recipient, donor = tracer.run(prompts, 0, replay=False), tracer.run(prompts, 1, replay=False)
    own = {layer: recipient.layers[layer][:, None] for layer in (0, depth // 2, depth)}
    for what, found, expected in (
        ("itself", tracer.patched_plainly(recipient, own), recipient.states),
        ("another", tracer.patched_plainly(recipient, {depth: donor.layers[depth][:, None]}), donor.states),
    ):
        if not _relative(found, expected[:, None].float().expand_as(found)) <= limit:
            raise MarginError(
                f"{type(tracing.model).__name__} cannot be patched: a state replaced by {what} does not come "
                "out as that; this architecture is not supported"
            )


def _ways_to_cut(
    tracing: Tracing, rows: TokenRows, prompts: Sequence[int], limit: float
) -> tuple[bool, str, bool, str]:
    """Whether a cut pass may begin at its block, whether attention can be cut at all, and why."""
    if (against := why_no_cut(tracing.model)) is not None:
        return False, "no cut", False, against
    middle = n_layers(tracing.model) // 2
    try:
        leaking = _leak(tracing, rows, prompts[0])
    except (MarginError, ValueError, TypeError, IndexError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and is_out_of_memory(error):
            raise
        return False, "no cut", False, f"the attention takes no mask of a span ({words(error)})"
    if not leaking <= limit:
        return False, "no cut", False, "something other than attention carries the token to later positions"
    plain = replace(tracing, batching=tracing.batching.replace(reuse_prefix=False))
    quick = replace(tracing, way=replace(tracing.way, skip=True))
    layers = [0, middle]
    moved, how = _moved(
        lambda: quick.of(rows).cut(prompts, 1, layers), lambda: plain.of(rows).cut(prompts, 1, layers)
    )
    cut_reason = "later positions do not attend to the token, and nothing else carries it"
    tracing.skip.forget()
    if moved <= limit:
        return True, f"a cut pass begins at its block, which {how}", True, cut_reason
    return False, f"beginning a cut pass at its block {how}: each is a whole pass", True, cut_reason


def _leak(tracing: Tracing, rows: TokenRows, prompt: int) -> float:
    """How far another token in its place moves a row's final state where nothing attends to it."""
    row = list(rows.ids[prompt * rows.k])
    start, stop = rows.spans[0]
    other = row.copy()
    tail = row[stop:][::-1]
    other[start:stop] = (tail * (stop - start))[: stop - start]
    forward = Forward(tracing.model, tracing.hooks, [row, other], {})
    found = []
    with patching(tracing.model, Cut(0, (start, stop))):
        for place in range(2):
            forward(Batch((place,), "", 0))
            found.append(tracing.hooks.final_states()[:, 0].float())
    return _relative(found[0], found[1])


def _moved(way: Callable[[], Tensor], plain: Callable[[], Tensor]) -> tuple[float, str]:
    """How far a way to compute states moves them, and so in words; infinite where it fails."""
    expected = plain()
    try:
        found = way()
    except Exception as error:  # what a model cannot do it need not do
        if isinstance(error, RuntimeError) and is_out_of_memory(error):
            raise
        return np.inf, f"fails ({words(error)})"
    moved = _relative(found, expected)
    return moved, f"moves the states by {moved:.1e}"


def _relative(found: Tensor, expected: Tensor) -> float:
    """Largest Euclidean difference of a state (..., d), relative to the state; NaN where either holds one."""
    if found.shape != expected.shape:
        return np.inf
    difference = (found.double() - expected.double()).norm(dim=-1)
    return float((difference / expected.double().norm(dim=-1).clamp_min(1e-30)).max())


def _in_parts(changes: Mapping[int, Tensor], size: int) -> Iterator[dict[int, Tensor]]:
    """Changes in the same order, in parts of about `size` states over all rows."""
    part: dict[int, Tensor] = {}
    held = 0
    for layer in sorted(changes):
        most = max(1, size // len(changes[layer]))
        for some in changes[layer].split(most, dim=1):
            if held and held + some.shape[0] * some.shape[1] > size or layer in part:
                yield part
                part, held = {}, 0
            part[layer] = some
            held += some.shape[0] * some.shape[1]
    if part:
        yield part


def device_of(tracing: Tracing) -> torch.device:
    """Where states lie."""
    return input_device(tracing.model)
