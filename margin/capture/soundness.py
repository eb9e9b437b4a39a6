"""Before the loop: proof, on real rows, that this model may be tapped, padded and given a shared prefix.

A model that answers differently when its rows are padded, or that keeps no cache rows can share, is found by
running it, not by its name. The oracle is the plain forward pass of one row, without hooks, padding or cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from margin.capture.head import Head, find_head
from margin.capture.last_block import form_of_last_block
from margin.capture.loop import Forward, NotFiniteError
from margin.capture.placement import input_device
from margin.capture.plan import Batch, Ids, shared_prefix
from margin.capture.prefix import prefix_cache
from margin.capture.rounding import tolerance
from margin.capture.taps import Taps, n_layers
from margin.errors import MarginError


@dataclass(frozen=True)
class Soundness:
    """How rows may be batched without changing their numbers."""

    reuse_prefix: bool
    """Whether the tokens a condition's rows share are run once."""
    prefix_reason: str
    """Why, in words."""
    pad: bool
    """Whether rows of different lengths share a batch."""
    pad_reason: str
    """Why, in words."""
    narrow: bool
    """Whether the last block runs at the wanted positions only."""
    narrow_reason: str
    """Why, in words."""

    def to_dict(self) -> dict[str, Any]:
        """Plain record, as the manifest stores it."""
        return asdict(self)


def examine(
    model: PreTrainedModel, taps: Taps, layers: Sequence[int], ids: Sequence[Ids], groups: Sequence[str]
) -> tuple[Soundness, Head]:
    """Run a short and a long row of one condition in every way the loop may, and compare.

    MarginError where even one row alone does not come out as in the plain forward pass, or where its logits
    are none that a head of a known form makes. The taps are left narrowed where that is sound. Costs about
    five forward passes of a row.
    """
    rows, group = _probes(ids, groups)
    limit = tolerance(model.dtype)
    forward = Forward(model, taps, ids, {})
    alone, logits = [], []
    for row in rows:
        logits.append(forward(Batch((row,), group, 0))[:, 0])
        alone.append(_caught(taps))
        if not torch.isfinite(logits[-1]).all():
            raise NotFiniteError([row])
        _compare_with_plain(model, ids[row], logits[-1], taps, limit)
    with taps.asleep():
        head = find_head(model, torch.cat([caught["state"] for caught in alone]), torch.cat(logits))
    reference = _together(alone)
    narrow, narrow_reason = _examine_narrow(forward, rows, group, reference, limit)
    taps.narrow = narrow

    pad, pad_reason = True, "padding on the right leaves the states as they are"
    if len(ids[rows[0]]) != len(ids[rows[-1]]):
        forward(Batch(tuple(rows), group, 0))
        difference = _difference(_caught(taps), reference)
        if not difference <= limit:
            pad, pad_reason = (
                False,
                f"padding moves the states by {difference:.1e}: rows of one length together",
            )

    prefix = shared_prefix([ids[row] for row, its in enumerate(groups) if its == group])
    if not prefix:
        reuse, prefix_reason = False, "the rows of a condition share no tokens"
    elif prefix_cache(model, taps, prefix) is None:
        reuse, prefix_reason = False, "the model keeps no key/value cache that rows can share"
    else:
        found = _one_by_one(Forward(model, taps, ids, {group: prefix}), rows, group, len(prefix))
        difference = _difference(found, reference)
        reuse = difference <= limit
        prefix_reason = (
            f"run once, which moves the states by {difference:.1e}"
            if reuse
            else f"running it once moves the states by {difference:.1e}: each row runs its own"
        )
    return Soundness(reuse, prefix_reason, pad, pad_reason, narrow, narrow_reason), head


def _examine_narrow(
    forward: Forward, rows: Sequence[int], group: str, reference: dict[str, Tensor], limit: float
) -> tuple[bool, str]:
    """Whether the last block may run at the wanted positions only, and why."""
    if (against := form_of_last_block(forward.model)) is not None:
        return False, f"{against}: it runs over all positions"
    forward.taps.narrow = True
    try:
        difference = _difference(_one_by_one(forward, rows, group, 0), reference)
    except (RuntimeError, TypeError, AttributeError) as error:  # the form is known, but not the architecture
        return False, f"the last block does not run at single positions ({type(error).__name__})"
    finally:
        forward.taps.narrow = False
    if difference <= limit:
        return True, f"at the last position only, which moves the states by {difference:.1e}"
    return False, f"running the last block at the last position only moves the states by {difference:.1e}"


def _one_by_one(forward: Forward, rows: Sequence[int], group: str, prefix: int) -> dict[str, Tensor]:
    found = []
    for row in rows:
        forward(Batch((row,), group, prefix))
        found.append(_caught(forward.taps))
    return _together(found)


def _together(caught: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat([one[name] for one in caught]) for name in caught[0]}


def _probes(ids: Sequence[Ids], groups: Sequence[str]) -> tuple[list[int], str]:
    """Longest row of all and shortest of its condition, with that condition; one row where all are alike."""
    longest = max(range(len(ids)), key=lambda row: len(ids[row]))
    group = groups[longest]
    shortest = min((row for row, its in enumerate(groups) if its == group), key=lambda row: len(ids[row]))
    return list(dict.fromkeys([longest, shortest])), group


def _compare_with_plain(model: PreTrainedModel, ids: Ids, logits: Tensor, taps: Taps, limit: float) -> None:
    """The tapped pass of one row against the model's own, with all hooks asleep."""
    with taps.asleep():
        tokens = torch.tensor([list(ids)], device=input_device(model))
        plain = model(input_ids=tokens, output_hidden_states=bool(taps.layers))
    found = {"its logits": _relative(logits, plain.logits[:, -1])}
    for layer, hidden in taps.layers.items():
        # What a report begins with differs by architecture, and it ends with the state after the last norm.
        if 0 < layer < n_layers(model):
            reports = [state[:, -1] for state in plain.hidden_states if state.shape[-1] == hidden.shape[-1]]
            found[f"the state of layer {layer}"] = min(_relative(hidden, report) for report in reports)
    wrong = [what for what, difference in found.items() if not difference <= limit]
    if wrong:
        raise MarginError(
            f"{type(model).__name__} cannot be tapped: {', '.join(wrong)} differ from its plain forward; "
            "this architecture is not supported"
        )


def _caught(taps: Taps) -> dict[str, Tensor]:
    return {"state": taps.caught_states()[:, 0]} | {
        f"layer.{layer}": hidden for layer, hidden in taps.layers.items()
    }


def _difference(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    # Not Python's max, which may lose a NaN.
    return float(np.max([_relative(found[name], expected[name]) for name in expected]))


def _relative(found: Tensor, expected: Tensor) -> float:
    """Largest Euclidean difference of a row, relative to the row; NaN where either holds one."""
    found, expected = found.double(), expected.double().to(found.device)
    return float(((found - expected).norm(dim=1) / expected.norm(dim=1).clamp_min(1e-30)).max())
