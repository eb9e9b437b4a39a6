"""Whether the hub answers, asked once before anything is loaded: loading itself would try again and again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import (
    constants,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    snapshot_download,
    try_to_load_from_cache,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.errors import HTTPError as ClientError  # type: ignore[attr-defined]  # of its client, any

from margin.errors import MarginError, foreign
from margin.text import shown

ADAPTER_FILES = (
    "adapter_config.json",
    "adapter_model.safetensors",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab*",
    "merges.txt",
    "*.tiktoken",
    "spiece.model",
    "chat_template*",
)
"""What is downloaded of an adapter: never its pickled weights, nor what a training left beside them."""


def cached(source: str, file: str, revision: str | None = None) -> Path | None:
    """Where the cache keeps `source`, a hub id with a `file`, if the hub is not reached; None where it is.

    MarginError where the hub knows no such id, or is not reached and nothing
    of it was loaded before. Costs one request, which waits as long as the hub's client does for metadata
    (`HF_HUB_ETAG_TIMEOUT`).
    """
    try:
        url = hf_hub_url(source, file, revision=revision)
        get_hf_file_metadata(url, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except HFValidationError:
        raise MarginError(f"{shown(source)}: no such file or folder, and no id of the hub") from None
    except RepositoryNotFoundError:
        raise MarginError(
            f"{source}: no such folder, and the hub has none of that id or does not show it to you; "
            "correct the path, or log in"
        ) from None
    except HfHubHTTPError:
        return None  # the hub answers, and loading tells what it makes of the answer
    except (ClientError, OfflineModeIsEnabled, OSError):
        if kept := snapshot(source, file, revision):
            return kept
        raise MarginError(
            f"{source}: no such folder, and the hub is not reached to look there; correct the path, or try "
            "again with a connection"
        ) from None
    return None


def snapshot(source: str, file: str, revision: str | None = None) -> Path | None:
    """Where the cache keeps a hub id's files, in a folder named by their commit; None where it has none."""
    kept = try_to_load_from_cache(source, file, revision=revision)
    return Path(kept).parent if isinstance(kept, str) else None


def fetched(source: str, file: str, revision: str | None = None) -> Path | None:
    """A file of a hub id that answers, downloaded into the cache; None where it has none of that name."""
    with foreign(f"{source} cannot be loaded"):
        try:
            return Path(hf_hub_download(source, file, revision=revision))
        except EntryNotFoundError:
            return None


def downloaded(source: str, files: Sequence[str], revision: str | None = None) -> Path:
    """The folder of the cache with those files of a hub id that its names or patterns name."""
    with foreign(f"{source} cannot be loaded"):
        return Path(snapshot_download(source, allow_patterns=list(files), revision=revision))
