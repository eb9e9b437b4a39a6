"""Before the loop: proof, on real rows, that this model may be hooked, padded and given a shared prefix.

A model that answers differently when its rows are padded or share a batch, or that keeps no cache rows can
share, is found by running it, not by its name. The oracle is the plain forward pass of one row, without
hooks, padding or cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from margin.capture.budget import Budget, is_out_of_memory, within_memory
from margin.capture.head import Head, find_head
from margin.capture.hooks import WITHOUT_LAYERS, HiddenStateHooks, hidden_state_hooks, n_layers
from margin.capture.last_block import form_of_last_block
from margin.capture.loop import Forward, NotFiniteError
from margin.capture.placement import input_device
from margin.capture.plan import Batch, Ids, shared_prefix
from margin.capture.prefix import prefix_cache
from margin.capture.rotary import steady_up_to
from margin.capture.rounding import tolerance
from margin.capture.unbatched import ALONE
from margin.capture.unquoted import unquoted
from margin.errors import MarginError, foreign, words
from margin.run.records import Batching

OWN, OTHERS = 4, 2
"""Rows that are run at most: of the condition with the longest, and of others, one each."""

States = dict[str, Tensor]
"""(B, d) by name, as the hooks capture them."""


def verify_batching(
    model: PreTrainedModel, hooks: HiddenStateHooks, ids: Sequence[Ids], groups: Sequence[str]
) -> tuple[Batching, Head]:
    """Run a few rows of several conditions in every way the loop may, and compare.

    MarginError where the model fails, where even one row alone does not come out as in the plain forward
    pass, where a layer that is asked for is not called, or where logits are none that a head of a known form
    makes. The last block is left at the wanted positions where that is right. Costs eight forward passes of a
    row by itself, and two batches of as few rows; more where these are not as they should be.
    """
    own, others = _chosen_rows(ids, groups)
    rows = own + others
    limit = tolerance(model.dtype)
    forward = Forward(model, hooks, ids, {})
    known = {row: _compare_with_plain(forward, row, limit) for row in dict.fromkeys([own[0], own[-1]])}
    alone, logits = [], []
    for row in rows:
        its_logits, its_states = known[row] if row in known else _by_itself(forward, row)
        if not torch.isfinite(its_logits).all():
            raise NotFiniteError([row])
        logits.append(its_logits)
        alone.append(its_states)
    with hooks.disabled():
        head = find_head(model, torch.cat([captured["state"] for captured in alone]), torch.cat(logits))
    reference = _together(alone)
    narrow, narrow_reason, moved, how = _verify_batch(forward, rows, reference, limit)
    steady, longest = steady_up_to(model), max(map(len, ids))
    if longest > steady:  # which the few rows tried need not show
        moved, how = np.inf, f"changes the rotary frequencies, which beyond {int(steady)} tokens go by length"
    pad, pad_reason = moved <= limit, "padding on the right leaves the states as they are"
    together, together_reason = True, "rows that share a batch leave each other's states as they are"
    if not pad:
        pad_reason = f"padding {how}: rows of one length together"
        shortest = min(len(ids[row]) for row in rows)
        cut = Forward(model, hooks, [its[:shortest] for its in ids], {})
        moved, how = _deviation(lambda: _in_one_batch(cut, rows), _alone(cut, rows))
        together = moved <= limit
        if not together:
            together_reason = f"sharing a batch {how}{ALONE}"

    expected = {name: states[: len(own)] for name, states in reference.items()}
    reuse, prefix_reason = _verify_prefix(forward, own, groups, expected, limit, pad)
    found = Batching(
        reuse_prefix=reuse,
        prefix_reason=prefix_reason,
        pad=pad,
        pad_reason=pad_reason,
        together=together,
        together_reason=together_reason,
        narrow=narrow,
        narrow_reason=narrow_reason,
    )
    return found, head


def _verify_batch(
    forward: Forward, rows: Sequence[int], reference: States, limit: float
) -> tuple[bool, str, float, str]:
    """Whether the last block may run at the wanted positions only, and why; how far one batch moves states.

    Both are tried at once, which is how the loop runs, and each by itself where that is not right. The hooks
    are left as they may run.
    """
    hooks, against = forward.hooks, form_of_last_block(forward.model)
    hooks.last_block_at_positions = against is None
    moved, how = _deviation(lambda: _in_one_batch(forward, rows), reference)
    if against is not None:
        return False, f"{against}: it runs over all positions", moved, how
    if moved <= limit:
        return True, f"at the last position only, which {how}", moved, how
    by_itself, so = _deviation(lambda: _alone(forward, rows), reference)
    if by_itself <= limit:
        return True, f"at the last position only, which {so}", moved, how
    hooks.last_block_at_positions = False
    moved, how = _deviation(lambda: _in_one_batch(forward, rows), reference)
    return False, f"running the last block at the last position only {so}", moved, how


def _verify_prefix(
    forward: Forward, rows: Sequence[int], groups: Sequence[str], reference: States, limit: float, pad: bool
) -> tuple[bool, str]:
    """Whether what all rows of a condition, of which `rows` are some, begin with may be run once, and why."""
    group, ids = groups[rows[0]], forward.ids
    prefix = shared_prefix([ids[row] for row, its in enumerate(groups) if its == group])
    if not prefix:
        return False, "the rows of a condition share no tokens"
    after = Forward(forward.model, forward.hooks, ids, {group: prefix})

    steady = steady_up_to(forward.model)
    if max(map(len, ids)) > steady:
        how = f"beyond {int(steady)} tokens the rotary frequencies go by a row's length"
        return False, f"{how}: each row runs its own"

    def run() -> States:
        if prefix_cache(forward.model, forward.hooks, prefix) is None:
            raise MarginError("the model keeps no key/value cache that rows can share")
        return (_in_one_batch if pad else _alone)(after, rows, group, len(prefix))

    moved, how = _deviation(run, reference)
    if moved <= limit:
        return True, f"run once, which {how}"
    return False, f"running it once {how}: each row runs its own"


def _deviation(way: Callable[[], States], expected: States) -> tuple[float, str]:
    """How far a way to compute the states moves them, and so in words; infinite where it fails.

    What a model cannot do it need not do: any error but a lack of memory is the answer sought.
    """
    try:
        found = way()
    except Exception as error:
        if isinstance(error, RuntimeError) and is_out_of_memory(error):
            raise
        return np.inf, f"fails ({words(error)})"
    # Not Python's max, which may lose a NaN.
    moved = float(np.max([_relative_error(found[name], expected[name]) for name in expected]))
    return moved, f"moves the states by {moved:.1e}"


def _alone(forward: Forward, rows: Sequence[int], group: str = "", prefix: int = 0) -> States:
    """What is captured of rows one by one."""
    return _together([_captured(forward, Batch((row,), group, prefix)) for row in rows])


def _in_one_batch(forward: Forward, rows: Sequence[int], group: str = "", prefix: int = 0) -> States:
    """What is captured of rows in one batch, or in as few as memory allows."""
    ids = forward.ids
    budget = Budget(len(rows) * max(len(ids[row]) for row in rows))
    done = within_memory(
        lambda batch: _captured(forward, batch), [Batch(tuple(rows), group, prefix)], ids, budget
    )
    return _together([captured for _, captured in done])


def _captured(forward: Forward, batch: Batch) -> States:
    forward(batch)
    return forward.hooks.captured()


def _together(captured: Sequence[States]) -> States:
    return {name: torch.cat([one[name] for one in captured]) for name in captured[0]}


def _chosen_rows(ids: Sequence[Ids], groups: Sequence[str]) -> tuple[list[int], list[int]]:
    """Rows of the condition with the longest of all, from that to its shortest; the shortest of others."""
    longest = max(range(len(ids)), key=lambda row: len(ids[row]))
    by_length = sorted(range(len(ids)), key=lambda row: -len(ids[row]))
    own = [row for row in by_length if groups[row] == groups[longest]]
    places = np.linspace(0, len(own) - 1, OWN).round().astype(int)
    others = {groups[row]: row for row in by_length if groups[row] != groups[longest]}
    return [own[place] for place in dict.fromkeys(places.tolist())], list(others.values())[:OTHERS]


def _by_itself(forward: Forward, row: int) -> tuple[Tensor, States]:
    """Logits (1, V) and states of one row."""
    logits = forward(Batch((row,), "", 0))[:, 0]
    return logits, forward.hooks.captured()


def _compare_with_plain(forward: Forward, row: int, limit: float) -> tuple[Tensor, States]:
    """The hooked pass of one row, as `_by_itself`, once it is the model's own with all hooks disabled.

    Where any layer is asked for all are compared: that shows that the blocks are the blocks, also of the last
    one, which no model reports as it is.
    """
    model, ids, name = forward.model, forward.ids[row], type(forward.model).__name__
    tokens = torch.tensor([list(ids)], device=input_device(model))
    layers = range(n_layers(model) + 1) if forward.hooks.requested else ()
    with forward.hooks.disabled():
        plain, reports = _plain(model, tokens, bool(layers))
        if not torch.isfinite(plain).all():
            raise NotFiniteError([row])
        with hidden_state_hooks(model, layers) as hooks:
            try:
                logits, captured = _by_itself(Forward(model, hooks, [ids], {}), 0)
            except Exception as error:  # no fault of the model's own: it runs without hooks
                if isinstance(error, RuntimeError) and is_out_of_memory(error):
                    raise
                raise MarginError(f"{name} cannot be tapped: {words(error)}") from error
    if not _relative_error(logits, plain) <= limit:
        raise MarginError(
            f"{name} cannot be tapped: its logits then differ from its plain forward; this architecture is "
            "not supported"
        )
    wrong = []
    for layer in layers[1:-1]:  # reports begin differently, and end with the state after the last norm
        hidden = captured[f"layer.{layer}"]
        alike = [state[:, -1] for state in reports if state.shape == (*tokens.shape, hidden.shape[-1])]
        if alike and not min(_relative_error(hidden, state) for state in alike) <= limit:
            wrong.append(str(layer))
    if wrong:
        raise MarginError(
            f"{name} gives layer {', '.join(wrong)} as another state than is found there: {WITHOUT_LAYERS}"
        )
    asked = ["state", *(f"layer.{layer}" for layer in forward.hooks.requested)]
    return logits, {name: captured[name] for name in asked}


def _plain(model: PreTrainedModel, tokens: Tensor, with_reports: bool) -> tuple[Tensor, list[Tensor]]:
    """The model's own logits (1, V) after a row's tokens (1, T), and its hidden states if it gives any."""
    if with_reports:
        with suppress(Exception):
            output = model(input_ids=tokens, output_hidden_states=True)
            reports = [state for state in output.hidden_states if isinstance(state, Tensor)]
            return output.logits[:, -1], reports
    with foreign(f"{type(model).__name__} does not run on a row of tokens"), unquoted():
        return model(input_ids=tokens).logits[:, -1], []


def _relative_error(found: Tensor, expected: Tensor) -> float:
    """Largest Euclidean difference of a row, relative to the row; NaN where either holds one."""
    if found.shape != expected.shape:
        return np.inf
    found, expected = found.double(), expected.double().to(found.device)
    return float(((found - expected).norm(dim=1) / expected.norm(dim=1).clamp_min(1e-30)).max())
