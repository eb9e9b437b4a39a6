"""vLLM's `ExampleHiddenStatesConnector`: a folder with one safetensors file a request.

Each holds `hidden_states` (tokens, layers, d) and `token_ids` (tokens,). A layer's number is that of the
block it goes into, so that the number of blocks is the last one's output, before the final norm.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from safetensors import safe_open
from torch import Tensor

from margin.capture.dumps.dump import Dump, Key, names_in, numbered, stacked
from margin.errors import MarginError, foreign

ENGINE = "vllm"
HELD = {"hidden_states", "token_ids"}


def fits(path: Path) -> bool:
    """Whether its safetensors files are of single requests."""
    files = _files(path)
    return bool(files) and set(names_in(files[0])) >= HELD


def read(path: Path, layers: Sequence[int] | None) -> Dump:
    """The states of each request's last prompt token, of every layer that was kept.

    Requests are known by their token ids: those of the prompt, without any answer's.
    """
    keys: list[Key] = []
    parts: list[Tensor] = []
    files = _files(path)
    for file in files:
        with foreign(f"{file} is not a request's states as vLLM saves them"), safe_open(file, "pt") as stored:
            ids = stored.get_tensor("token_ids")
            states = stored.get_slice("hidden_states")
            shape = states.get_shape()
            last = states[len(ids) - 1 : len(ids)]
        if len(shape) != 3 or shape[0] != len(ids) or not len(ids):
            raise MarginError(
                f"{file}: hidden_states of shape {tuple(shape)} for {len(ids)} tokens, where (tokens, "
                "layers, width) is known: were all tokens kept, with --no-enable-chunked-prefill?"
            )
        keys.append(tuple(ids.tolist()))
        parts.append(last[0])
    together = stacked(parts, str(path))
    numbers = numbered(layers, together.shape[1], str(path))
    by_layer = {number: together[:, place] for place, number in enumerate(numbers)}
    return Dump(ENGINE, path, keys, [file.name for file in files], by_layer)


def _files(path: Path) -> list[Path]:
    return sorted(path.glob("*.safetensors")) if path.is_dir() else [path] * (path.suffix == ".safetensors")
