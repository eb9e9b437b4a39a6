"""Rotary embeddings whose frequencies depend on how long a row is.

Of rope_type "dynamic" transformers makes the frequencies anew where a row is longer than all before it, and
they stay so for the next: a row's numbers would depend on which rows were run before it. Of "longrope" there
are two sets, of which the longest row of a batch decides. A model that is given one row, as one that answers
a user is, has the frequencies of that row's own length, from its first token on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import nn

_LENGTH, _NOW, _ORIGINAL = "max_seq_len_cached", "inv_freq", "original_inv_freq"


@contextmanager
def forgetful(model: nn.Module) -> Iterator[None]:
    """Every call of the model begins with the frequencies it was made with; afterwards they are as before.

    With a cache, too: what follows is longer than what is in it, and so has frequencies of its own anyway.
    """
    with ExitStack() as stack:
        for module in model.modules():
            if "dynamic" in str(getattr(module, "rope_type", "")) and hasattr(module, "original_max_seq_len"):
                stack.callback(_set, module, {name: getattr(module, name) for name in _remembered(module)})
                stack.callback(_forget, module)  # what only a longer row has made
                stack.callback(module.register_forward_pre_hook(_forget).remove)
        yield


def steady_up_to(model: nn.Module) -> float:
    """Tokens up to which a row's frequencies are the same whatever its length; infinite of most models.

    Longer rows share neither a batch with other lengths, nor what a shorter one has computed.
    """
    return min((_bound(module) for module in model.modules()), default=float("inf"))


def _bound(module: Any) -> float:
    kinds = getattr(module, "rope_type", None)
    bounds = [float("inf")]
    for layers, kind in kinds.items() if isinstance(kinds, Mapping) else [(None, kinds)]:
        if "dynamic" in str(kind):
            bounds.append(module.original_max_seq_len)
        elif kind == "longrope":
            settings = module.config.rope_parameters
            bounds.append((settings[layers] if layers else settings)["original_max_position_embeddings"])
    return min(bounds)


def _remembered(module: nn.Module) -> list[str]:
    """What a module keeps from row to row, each under the prefix of a kind of layer where it has several."""
    held = [*vars(module), *(name for name, _ in module.named_buffers(recurse=False))]
    return [name for name in held if name.endswith((_LENGTH, _NOW)) and not name.endswith(_ORIGINAL)]


def _forget(module: Any, arguments: object = None) -> None:
    _set(
        module,
        {
            name: module.original_max_seq_len
            if name.endswith(_LENGTH)
            else getattr(module, name.removesuffix(_NOW) + _ORIGINAL).to(getattr(module, name).device)
            for name in _remembered(module)
        },
    )


def _set(module: nn.Module, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(module, name, value)
