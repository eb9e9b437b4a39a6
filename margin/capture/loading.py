"""From a folder, a GGUF file or a hub id to a model and a tokenizer, or one line that says why not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from margin.capture.folder import (
    ADAPTER_CONFIG,
    INDEX,
    require_adapter,
    require_checkpoint,
    require_fetched,
    require_numbers,
    require_safe_index,
)
from margin.capture.gguf_tensors import require_all_read, require_uncut
from margin.capture.hub import ADAPTER_FILES, cached, downloaded, fetched, snapshot
from margin.capture.quiet import quietly, seemly_bar
from margin.capture.twice import loaded_files, require_once
from margin.capture.whole import UNLIKE, require_whole
from margin.errors import MarginError, foreign
from margin.inputs.checkpoints import is_local
from margin.text import brief, shown


@dataclass(frozen=True)
class Source:
    """Where a model or an adapter is loaded from, looked at but not loaded."""

    given: str
    """As the user names it."""
    place: str
    """Folder or hub id."""
    gguf: str | None = None
    """The file in `place` that holds it all."""
    revision: str | None = None
    """Revision on the hub that is asked for, if any."""

    @classmethod
    def of_checkpoint(cls, source: str | Path, revision: str | None = None) -> Source:
        """MarginError where there is none, an adapter only, or none that is safe to read."""
        given, path = _given(source, "the checkpoint"), Path(source)
        if _is(path, "file"):
            if path.suffix.lower() != ".gguf":
                raise MarginError(f"{path} is no checkpoint: give a folder, a hub id or a .gguf file")
            require_fetched(path)
            return cls(given, str(path.parent), path.name)
        if _is(path, "dir"):
            require_checkpoint(path)
            return cls(given, given)
        if is_local(given):
            raise MarginError(f"{given}: no such file or folder")
        if kept := cached(given, "config.json", revision):
            require_checkpoint(kept)
            return cls(given, str(kept), None, revision)
        if fetched(given, ADAPTER_CONFIG, revision):
            raise MarginError(
                f"{given} is an adapter: pass its base model as MODEL and it with --adapter {given}"
            )
        if index := fetched(given, INDEX, revision):
            require_safe_index(index)
        return cls(given, given, None, revision)

    @classmethod
    def of_adapter(cls, source: str | Path) -> Source:
        """MarginError where there is none, or a pickled one. One of the hub is downloaded into its cache."""
        given, path = _given(source, "the adapter"), Path(source)
        if not _is(path, "dir"):
            if _is(path, "file") or is_local(given):
                raise MarginError(f"adapter {given} cannot be loaded: there is no such folder")
            path = cached(given, ADAPTER_CONFIG) or downloaded(given, ADAPTER_FILES)
        require_adapter(path)
        return cls(given, str(path))

    @property
    def name(self) -> str:
        """A hub id as it is, of a path its last part: where it lies is nobody's business and may change."""
        path = Path(self.given)
        return path.resolve().name if path.exists() else self.given

    @property
    def folder(self) -> Path:
        """The folder it lies in, of one that is not left to transformers to download."""
        return Path(self.place)

    def loaded(self) -> Path:
        """The folder it was loaded from, if need be that of the cache that it was just downloaded into."""
        if self.folder.is_dir():
            return self.folder
        return snapshot(self.place, "config.json", self.revision) or self.folder

    @property
    def commit(self) -> str | None:
        """Commit on the hub of what was loaded, if any."""
        kept = None if Path(self.given).exists() else snapshot(self.given, "config.json", self.revision)
        return kept.name if kept else None


def load_config(source: Source, trust_remote_code: bool) -> Any:
    """The configuration of a source; None of a GGUF file, which is read as a whole, and is whole."""
    if source.gguf is not None:
        require_uncut(Path(source.place) / source.gguf, source.given)
        return None
    what = f"{source.given} cannot be loaded"
    with quietly(), foreign(what):
        config: Any = AutoConfig.from_pretrained(
            source.place, trust_remote_code=trust_remote_code, revision=source.revision
        )
    config.return_dict = True  # only what a pass gives back, not what it computes
    weights = str(getattr(config, "transformers_weights", None) or "model.safetensors")
    if not weights.endswith((".safetensors", ".safetensors.index.json")):
        raise MarginError(f"{what}: config.json names {shown(weights)}, only safetensors is read")
    if Path(weights).name != weights:
        raise MarginError(f"{what}: config.json names {shown(weights)}, which is no file of its own folder")
    return config


def require_known(kind: Any, source: Source, config: Any, what: str) -> None:
    """MarginError where `kind`, one of transformers' `AutoModelFor...`, has no class for a configuration.

    Said before anything else is loaded, and not in a list of all that transformers knows.
    """
    code = getattr(config, "auto_map", None) or {}
    if config is None or type(config) in kind._model_mapping or kind.__name__ in code:
        return
    raise MarginError(
        f"{source.given} cannot be loaded: its model type {shown(config.model_type)!r} is no {what} that "
        "transformers knows: pass a model of text alone, if need be its language model saved as one"
    )


def load_model(
    kind: Any, source: Source, config: Any, trust_remote_code: bool, fault: str = UNLIKE, **options: Any
) -> PreTrainedModel:
    """A model by one of transformers' classes `AutoModelFor...`, as its file has it, safetensors or GGUF.

    MarginError where it cannot be loaded, and, with `fault` in it, where `require_whole` finds weights that
    are not those of the file.
    """
    options |= {"trust_remote_code": trust_remote_code, "revision": source.revision}
    if source.gguf is None:
        options |= {"config": config, "use_safetensors": True}
    else:
        options["gguf_file"] = source.gguf
    bar = nullcontext() if source.gguf is None else seemly_bar()
    with bar, quietly(), foreign(f"{source.given} cannot be loaded"), _unknown_values(source.given, config):
        model: PreTrainedModel
        model, info = kind.from_pretrained(
            source.place, output_loading_info=True, ignore_mismatched_sizes=True, **options
        )
    if source.gguf is None:
        require_numbers(source.loaded())  # of a first download nobody has looked at the files
    require_whole(source.given, model, info, fault)
    if source.gguf is None:
        weights = getattr(config, "transformers_weights", None)
        files = loaded_files(source.loaded(), weights)
        require_once(source.given, files, model.base_model_prefix)
    else:
        require_all_read(Path(source.place) / source.gguf, model)
    return model


def load_tokenizer(source: Source, config: Any, trust_remote_code: bool) -> PreTrainedTokenizerBase:
    """The tokenizer of a source; `config` is its model's, of which an adapter's folder knows nothing."""
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code, "revision": source.revision}
    if source.gguf is not None:
        options["gguf_file"] = source.gguf
    if config is not None:
        options["config"] = config
    with quietly(), foreign(f"the tokenizer of {source.given} cannot be loaded"):
        return AutoTokenizer.from_pretrained(source.place, **options)


@contextmanager
def _unknown_values(given: str, config: Any) -> Iterator[None]:
    """Where a name is looked up in vain, as an activation's, the key of config.json that has it is said."""
    try:
        yield
    except KeyError as error:
        entries = {} if config is None else config.to_dict()
        keys = [key for key, value in _values(entries) if error.args == (value,)]
        if not keys:
            raise
        raise MarginError(
            f"{given} cannot be loaded: config.json has {keys[0]} {shown(error.args[0])!r}, which "
            "transformers does not know"
        ) from None


def _values(entries: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Every entry of a configuration that is no table itself, with its key: "rope_parameters.rope_type"."""
    for key, value in entries.items():
        if isinstance(value, Mapping):
            yield from _values(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _given(source: str | Path, what: str) -> str:
    """A name as it was given. MarginError for an empty one, which would be the folder this runs in."""
    if not str(source).strip():
        raise MarginError(f"the name of {what} is empty: give a folder or a hub id")
    return str(source)


def _is(path: Path, kind: str) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise MarginError(f"{path}: no library loads from a name that is not UTF-8: rename it") from None
    try:
        return path.is_dir() if kind == "dir" else path.is_file()
    except OSError as error:  # a name too long
        raise MarginError(f"{brief(path, 80)}: {error.strerror}") from None
