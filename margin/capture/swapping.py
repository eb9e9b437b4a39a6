"""What another token in a place of a row promises: first-order, of one backward pass to the embeddings.

Ebrahimi et al. (2018), "HotFlip: White-box adversarial examples for text classification". A promise ranks
what is tried, and is no result: what a string does is found by running it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from margin.capture.budget import is_out_of_memory
from margin.capture.loop import Forward
from margin.capture.openings import Asking
from margin.capture.plan import Batch, Ids
from margin.errors import discreet

Float = NDArray[np.float64]
AT_ONCE = 8192
"""Embeddings that are compared with a gradient at once."""
PASSES = 3
"""Forward passes that one with its way back counts as: the way back costs two (Kaplan et al., 2020)."""


@discreet
def promises(
    asking: Asking,
    rows: Sequence[Ids],
    places: range,
    choices: NDArray[np.intp],
    slope: Callable[[Float], Float],
) -> Float | None:
    """(n, V) how much a function of rows' points is to rise with each of V ids in each of n places.

    None where the model allows no way back: weights that are packed, a kernel without one, too little memory.

    Parameters
    ----------
    rows : B rows; the places stand for the same ids in all of them.
    choices : (V,) ids.
    slope : gradient (B, D) of the function at points (B, D).

    Cost: `PASSES` forward passes a row.
    """
    whole = _at_embeddings(asking, rows, slope)
    if whole is None or not torch.isfinite(whole).all():
        return None
    gradient = whole[:, places.start : places.stop].mean(dim=0).float()
    embed = asking.checkpoint.model.get_input_embeddings()
    found = _against(embed, torch.from_numpy(choices), gradient)
    now = _against(embed, torch.tensor(list(rows[0][places.start : places.stop])), gradient)
    promised: Float = (found - now.diagonal()[:, None]).double().cpu().numpy()
    return promised


def _at_embeddings(asking: Asking, rows: Sequence[Ids], slope: Callable[[Float], Float]) -> Tensor | None:
    """(B, T, d) gradients at what the embeddings give; None where torch finds no way back to them."""
    model, hooks = asking.checkpoint.model, asking.hooks
    leaves: list[Tensor] = []

    def as_leaf(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor:
        leaves.append(output.detach().clone().requires_grad_())
        return leaves[-1]

    handle = model.get_input_embeddings().register_forward_hook(as_leaf)
    narrow, hooks.last_block_at_positions = hooks.last_block_at_positions, False
    try:
        with torch.inference_mode(False), torch.enable_grad():
            Forward(model, hooks, rows, {})(Batch(tuple(range(len(rows))), "", 0))
            states = hooks.captured()["state"]
            at = asking.coordinates(states.detach().float().cpu().numpy())
            toward = torch.from_numpy(asking.as_slope_of_states(slope(at))).to(states)
            return torch.autograd.grad((states * toward).sum(), leaves[:1])[0] if leaves else None
    except RuntimeError as error:
        if is_out_of_memory(error) and torch.cuda.is_available():
            torch.cuda.empty_cache()
        return None
    finally:
        handle.remove()
        hooks.last_block_at_positions = narrow
        hooks.expect(hooks.positions, hooks.length)  # what is kept of it holds the whole way back


def _against(embed: nn.Module, ids: Tensor, gradient: Tensor) -> Tensor:
    """(n, V) products of the gradients (n, d) with the embeddings of V ids."""
    with torch.inference_mode():
        parts = [embed(part.to(gradient.device)).float() for part in torch.split(ids, AT_ONCE)]
        return torch.cat([gradient @ part.T for part in parts], dim=1)
