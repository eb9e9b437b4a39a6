"""Before tracing: proof, on real rows, of the ways that a model's rows may be patched and cut.

The quick ways are compared with the plain one, a whole pass under a hook (`margin.capture.interventions`),
and left for it with a word where they differ or a model's form does not allow them. The plain one itself must
give a row back that is patched with its own state, and another that is patched with its last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from torch import Tensor
from transformers import PreTrainedModel

from margin.capture.budget import is_out_of_memory
from margin.capture.hooks import hidden_state_hooks, n_layers
from margin.capture.interventions import Cut, patching, why_no_cut
from margin.capture.loop import Forward
from margin.capture.plan import Batch
from margin.capture.replay import replaying, why_no_replay
from margin.capture.rounding import tolerance
from margin.capture.skipping import skipping
from margin.capture.tracer import TokenRows, Tracer, Tracing, Way
from margin.capture.verification import verify_batching
from margin.errors import MarginError, words


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
        moved, how = _moved(
            lambda: _patches(tried.of(rows), prompts), lambda: _patches(tracing.of(rows), prompts)
        )
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
