"""States that other engines saved, one reader a file. To read another: a file with a reader, and a line here.

A reader says which rows a dump is of and hands over its numbers as they are stored. It judges nothing: that
is done by running rows again (`margin.capture.imported`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from margin.capture.dumps import arrays, transformer_lens, vllm, vllm_lens
from margin.capture.dumps.dump import Dump
from margin.errors import MarginError

READERS = (vllm, vllm_lens, transformer_lens, arrays)
"""Each has `ENGINE`, what it is called; `fits`, whether a path looks like one of its own; and `read`."""
PICKLED = {".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt", ".npy", ".joblib"}
SAVE = 'safetensors.torch.save_file({"states": states}, "states.safetensors", metadata=...)'


def read_dump(path: Path, layers: Sequence[int] | None) -> Dump:
    """The dump at a path.

    Parameters
    ----------
    layers : the layers that an engine was asked for, as it numbers them, where its files do not say.

    Raises
    ------
    MarginError : nothing there, a pickled file, one that no reader knows, or that cannot be read.
    """
    if not path.exists():
        raise MarginError(f"there are no states at {path}")
    files = [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())
    for reader in READERS:
        if reader.fits(path):
            found: Dump = reader.read(path, layers)
            return found
    if pickled := next((each for each in files if each.suffix.lower() in PICKLED), None):
        raise MarginError(
            f"{pickled} is no safetensors, npz or Parquet file, and what is pickled can run code as it is "
            f"read: save it with {SAVE}"
        )
    raise MarginError(
        f"{path} is no dump that is known: give arrays in safetensors, npz or Parquet, or what "
        f"{', '.join(reader.ENGINE for reader in READERS[:-1])} save"
    )
