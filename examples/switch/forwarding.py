"""Answers from any engine that speaks OpenAI's protocol: vLLM, llama.cpp, `transformers serve`."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import httpx2

from examples.switch.asking import THOUGHTS
from examples.switch.engine import Piece, Refused
from margin.inputs.modes import Message

CONNECT, SILENCE = 10, 600
"""Seconds to reach the engine, and in which it has to say something."""
TEXTS = ("content", *THOUGHTS)
"""Fields of an answer that go on to the caller; what an engine adds beside them (ids of the prompt's tokens,
log-probabilities, usage) does not."""
FINISHES = ("stop", "length", "content_filter")
_STATUS = {400: 400, 404: 502, 413: 400, 422: 400, 429: 429, 503: 503}
_SAID = {
    400: "the engine refuses the request: it is too long, or a setting is out of range",
    429: "the engine has too much to do",
    503: "the engine is not ready",
    502: "the engine cannot be reached, or fails",
}
log = logging.getLogger("switch")


class Forwarded:
    """The model `name` of an engine, always asked for a stream.

    Words of the engine's own errors go nowhere: they may quote the prompt, and so the token.
    """

    def __init__(self, url: str, name: str, key: str | None = None) -> None:
        self.name = name
        self._client = httpx2.AsyncClient(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"} if key else None,
            timeout=httpx2.Timeout(CONNECT, read=SILENCE, pool=None),
            limits=httpx2.Limits(max_connections=None),  # as many as callers; the usual hundred would queue
            trust_env=False,  # no proxy that somebody set for something else gets to see a token
        )

    async def answer(self, messages: list[Message], options: Mapping[str, float]) -> AsyncGenerator[Piece]:
        """As `Engine.answer`."""
        body = {"model": self.name, "messages": messages, "stream": True, **options}
        finish = None
        try:
            async with self._client.stream("POST", "chat/completions", json=body) as response:
                if response.status_code != 200:
                    log.warning("the engine answered with status %d", response.status_code)
                    status = _STATUS.get(response.status_code, 502)
                    raise Refused(status, _SAID[status])
                async for event in httpx2.EventSource(response):
                    if event.data == "[DONE]":
                        break
                    for piece in _pieces(event.data):
                        finish = piece.finish or finish
                        if piece.text:
                            yield piece
                    if finish:
                        break
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            log.warning("the engine failed: %s", type(error).__name__)
            raise Refused(502, _SAID[502]) from None
        if finish is None:
            log.warning("the engine broke off")
            raise Refused(502, "the engine broke off")
        yield Piece(finish=finish)

    async def close(self) -> None:
        """As `Engine.close`."""
        await self._client.aclose()


def _pieces(data: str) -> list[Piece]:
    """What one event of the stream holds. Refused where it is an error, or no chunk of an answer."""
    try:
        record: Any = json.loads(data)
        if "error" not in record:
            choice = record["choices"][0] if record.get("choices") else {}
            delta, why = choice.get("delta") or {}, choice.get("finish_reason")
            texts = [(field, delta.get(field) or "") for field in TEXTS]
            finish = None if why is None else why if why in FINISHES else "stop"
            return [*(Piece(_whole(text), field) for field, text in texts), Piece(finish=finish)]
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        pass
    log.warning("the engine sent an error, or what is no chunk of an answer")
    raise Refused(502, _SAID[502])


def _whole(text: str) -> str:
    """Text without halves of characters, which JSON can hold and UTF-8 cannot."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
