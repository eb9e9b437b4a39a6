"""What is used of a tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol


class Tokenizer(Protocol):
    """What is used of a transformers tokenizer."""

    bos_token: str | None
    bos_token_id: int | None
    unk_token_id: int | None

    @property
    def added_tokens_decoder(self) -> Mapping[int, Any]: ...

    @property
    def all_special_ids(self) -> Sequence[int]: ...

    @property
    def special_tokens_map(self) -> Mapping[str, Any]: ...

    @property
    def apply_chat_template(self) -> Callable[..., Any]: ...

    @property
    def get_chat_template(self) -> Callable[..., str]: ...

    def convert_tokens_to_ids(self, tokens: Any) -> Any: ...

    def decode(self, token_ids: list[int]) -> Any: ...

    def __len__(self) -> int: ...

    def __call__(self, text: str, *, add_special_tokens: bool) -> Mapping[str, Any]: ...
