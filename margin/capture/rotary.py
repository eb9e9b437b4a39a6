"""Rotary embeddings that remember: their frequencies grow with the longest row, and stay so for the next.

Of rope_type "dynamic" transformers makes the frequencies anew where a row is longer than all before it. A
row's numbers would then depend on which rows were run before it. A model that is given one row, as one that
answers a user is, has the frequencies of that row's own length.
"""

from __future__ import annotations

from collections.abc import Iterator
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
