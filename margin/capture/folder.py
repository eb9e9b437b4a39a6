"""What lies in the folder of a checkpoint or an adapter, looked at before any library reads it."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from contextlib import suppress
from math import isfinite
from pathlib import Path
from typing import Any

from safetensors import safe_open

from margin.errors import MarginError, foreign
from margin.inputs.reading import parse_json, read_text
from margin.text import brief, shown

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "chat_template.jinja")
"""Any of these in an adapter's folder is how its text becomes ids."""
_POINTER = b"version https://git-lfs.github.com/spec/"
INDEX = "model.safetensors.index.json"
_SIZE = re.compile(r"^(num|n)_|_(size|dim|heads|layers|embeddings|window|rank)$")
"""Keys of config.json that are whole numbers."""
_NUMBER = re.compile(r"_(eps|epsilon|theta|base|factor|scale|scaling|multiplier|dropout|range|capping|id)$")
"""Keys of config.json that are numbers."""
_STANDARD = re.compile(
    r"^(num_(hidden_layers|attention_heads|key_value_heads)|(hidden|intermediate|vocab)_size|head_dim"
    r"|max_position_embeddings)$"
)
"""Keys of config.json that mean the same wherever they stand: no text that is a word can be meant."""


def require_checkpoint(folder: Path) -> None:
    """MarginError where a folder holds no checkpoint, only pickled weights, or what Git has yet to fetch."""
    if (folder / ADAPTER_CONFIG).is_file():
        if not (folder / "config.json").is_file():
            raise MarginError(
                f"{folder} is an adapter: pass its base model as MODEL and it with --adapter {folder}"
            )
        raise MarginError(
            f"{folder} holds an adapter beside a model: move {ADAPTER_CONFIG} and its weights into a folder "
            "of their own, and pass that with --adapter"
        )
    if not (folder / "config.json").is_file():
        raise MarginError(f"{folder} is no checkpoint: it has no config.json")
    require_fetched(folder)
    _require_written_as_numbers(_settings(folder), folder / "config.json")
    _require_generation_defaults(folder / "generation_config.json")
    _require_safetensors(folder, "*.safetensors", "no checkpoint")
    for index in sorted(folder.glob("*.safetensors.index.json")):
        require_safe_index(index)
    if (folder / INDEX).is_file() and (folder / "model.safetensors").is_file():
        raise MarginError(
            f"{folder} holds two sets of weights, model.safetensors and what {INDEX} names: remove one"
        )
    require_numbers(folder)


def _require_written_as_numbers(settings: Mapping[str, Any], config: Path, above: str = "") -> None:
    """MarginError where a size or a number is written as text, or a size as 64.0: the model's own code fails
    on it, or compares "8" with 8, and does not say which key it was."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            _require_written_as_numbers(value, config, f"{above}{key}.")
        elif isinstance(value, str) and (_SIZE.search(key) or _NUMBER.search(key)):
            if _is_number(value) or _STANDARD.search(key):
                number = value.strip() if _is_number(value) else "a whole number"
                raise MarginError(
                    f"{config} sets {shown(above + key)} to a text, {shown(value)!r}: write {number}"
                )
        elif isinstance(value, float) and value.is_integer() and _SIZE.search(key):
            raise MarginError(f"{config} sets {shown(above + key)} to {value}: write {int(value)}")


def _is_number(text: str) -> bool:
    with suppress(ValueError):
        return isfinite(float(text))
    return False


def _require_generation_defaults(path: Path) -> None:
    """MarginError where the file cannot be read, which transformers passes over without a word, or names ends
    of answers that are no ids."""
    if not path.is_file():
        return
    if path.read_bytes().startswith(codecs.BOM_UTF8):
        raise MarginError(f"{path} begins with a byte-order mark: save it as UTF-8 without one")
    record = parse_json(read_text(path, "generation defaults"), str(path))
    if not isinstance(record, dict):
        raise MarginError(f"{path} is no JSON object: write it again with save_pretrained, or remove it")
    ends = record.get("eos_token_id")
    if not all(
        type(end) is int for end in (ends if isinstance(ends, list) else [] if ends is None else [ends])
    ):
        raise MarginError(f"{path} sets eos_token_id to no id: write a number, or a list of numbers")


def require_adapter(folder: Path) -> None:
    """MarginError where a folder holds no adapter, only a pickled one, or what Git has yet to fetch."""
    if not (folder / ADAPTER_CONFIG).is_file():
        inside = sorted(shown(path.parent.name) for path in folder.glob(f"*/{ADAPTER_CONFIG}"))
        if inside:
            raise MarginError(
                f"{folder} holds {len(inside)} adapters, {brief(', '.join(inside), 80)}: pass one of them"
            )
        raise MarginError(f"{folder} is no adapter: it has no {ADAPTER_CONFIG}")
    require_fetched(folder)
    _require_safetensors(folder, ADAPTER_WEIGHTS, "no adapter")


def require_fetched(place: Path) -> None:
    """MarginError where a file, or one in a folder, is a Git LFS pointer in place of what it stands for."""
    for path in sorted(place.iterdir()) if place.is_dir() else [place]:
        if path.is_file():
            with path.open("rb") as file:
                if file.read(len(_POINTER)) == _POINTER:
                    raise MarginError(f"{path} is a Git LFS pointer, not the file itself: run git lfs pull")


def require_safe_index(index: Path) -> None:
    """MarginError where the index of a sharded checkpoint names a file outside its folder, or one that is not
    safetensors."""
    record = parse_json(read_text(index, "index"), str(index))
    shards = record.get("weight_map") if isinstance(record, dict) else None
    if not isinstance(shards, dict) or not shards or not all(isinstance(f, str) for f in shards.values()):
        raise MarginError(f"{index} is no index of a checkpoint: its weight_map names no files")
    if not isinstance(record.get("metadata"), dict):
        raise MarginError(f'{index} lacks an entry that transformers reads: add "metadata": {{}} to it')
    for file in shards.values():
        if Path(file).is_absolute() or ".." in Path(file).parts:
            raise MarginError(f"{index} names {shown(file)}, outside its folder: move the file into it")
        if not file.endswith(".safetensors"):
            raise MarginError(
                f"{index} names {shown(file)}: only safetensors is read, other formats can run code"
            )


def require_numbers(folder: Path) -> None:
    """MarginError where weights are no real numbers: codes of a quantised model, unless the configuration
    says so, or what transformers would cut to the real part of a number, or to 0 and 1.
    """
    if not (folder / "config.json").is_file() or _settings(folder).get("quantization_config"):
        return
    for path in sorted(folder.glob("model*.safetensors")):
        with foreign(f"{folder} cannot be loaded"), safe_open(path, framework="numpy") as file:
            kinds = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
        odd = [name for name, kind in kinds.items() if name.endswith("weight") and not is_real(kind)]
        coded = [name for name in odd if kinds[name][0] in "IU"]
        if coded:
            raise MarginError(
                f"{folder} cannot be loaded: {shown(coded[0])} holds codes of a quantised model, and "
                "config.json has no quantization_config that says how to read them"
            )
        if odd:
            raise MarginError(
                f"{folder} cannot be loaded: {shown(odd[0])} holds {kinds[odd[0]]}, which is no real number"
            )


def _settings(folder: Path) -> dict[str, Any]:
    config = folder / "config.json"
    settings = parse_json(read_text(config, "configuration"), str(config))
    if not isinstance(settings, dict):
        raise MarginError(f"{config} is no JSON object")
    return settings


def is_real(kind: str) -> bool:
    """Whether a kind of number, as safetensors calls it, is a real one: F32, F16, BF16, F8_E4M3."""
    return kind.startswith(("F", "BF"))


def has_tokenizer(folder: Path) -> bool:
    """Whether an adapter came with a tokenizer of its own."""
    return any((folder / name).is_file() for name in TOKENIZER_FILES[:-1])


def _require_safetensors(folder: Path, pattern: str, otherwise: str) -> None:
    if any(folder.glob(pattern)):
        return
    if any(folder.glob("*.bin")) or any(folder.glob("*.pt")):
        raise MarginError(f"{folder} has only pickled weights, which can run code: save it as safetensors")
    raise MarginError(f"{folder} is {otherwise}: it has no weights ({pattern})")
