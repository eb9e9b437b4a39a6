"""What a GGUF file holds beside what was loaded of it, of which transformers says nothing."""

from __future__ import annotations

import re
from pathlib import Path

from gguf import GGUFReader
from transformers import PreTrainedModel

from margin.errors import MarginError, foreign

_BLOCK = re.compile(r"blk\.(\d+)\.")
_AROUND = re.compile(r"(token_embd|token_embd_norm|position_embd|output_norm|output)\.")


def require_uncut(path: Path, given: str) -> None:
    """MarginError where a file is no GGUF, damaged, or ends before its last tensor does.

    Else whoever reads it first would be blamed: the tokenizer, which lies in it. Costs reading its header.
    """
    with foreign(f"{given} cannot be loaded, it is no GGUF file or was cut short (copy it again)"):
        GGUFReader(path)


def require_all_read(path: Path, model: PreTrainedModel) -> None:
    """MarginError where the file has more blocks than the model, or more values in them than it took.

    Loading gives each weight of the model its tensor, and passes over the other tensors in silence: of more
    layers than the file itself declares, of biases or norms. Values are counted, since names and forms
    differ; blocks that only predict further tokens are left out. Costs reading the file's header.
    """
    with foreign(f"{path} cannot be loaded"):
        reader = GGUFReader(path)
        sizes = {tensor.name: int(tensor.n_elements) for tensor in reader.tensors}
        further = sum(
            int(field.contents())
            for key, field in reader.fields.items()
            if key.endswith(".nextn_predict_layers")
        )
    layers = int(model.config.get_text_config(decoder=True).num_hidden_layers)
    block_of = {name: int(found[1]) for name in sizes if (found := _BLOCK.match(name))}
    blocks = max(block_of.values(), default=-1) + 1
    # Whether the file's own number of blocks counts those depends on who wrote it.
    if blocks > layers + further:
        raise MarginError(f"{path} holds {blocks} blocks, and says that the model has {layers}")
    taken = [name for name in sizes if _AROUND.match(name) or block_of.get(name, layers) < layers]
    more = sum(sizes[name] for name in taken) - sum(weight.numel() for weight in model.parameters())
    if more > 0:
        raise MarginError(
            f"{path} holds {more} values (such as biases) that the model has no place for: it is of another "
            "architecture than it says, or of one that transformers does not read in full"
        )
