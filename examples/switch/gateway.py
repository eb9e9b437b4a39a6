"""The gateway: who asks and what moderation said decide the mode, and no caller ever sees a token.

POST /v1/chat/completions and GET /v1/models, as OpenAI's clients send them. What stands in front sets two
headers, and takes them off what comes from outside: X-Role (user, red-team) and X-Moderation (clear,
flagged). The red-team's API key is its credential.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import traceback
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from examples.switch.asking import UNREAD, read
from examples.switch.engine import Engine, Piece, Refused
from examples.switch.policy import Mode, choose_mode, proves
from examples.switch.stripping import Stripper, count_tokens
from margin.inputs.modes import ModeSet

LARGEST = 64 * 1024
"""Bytes the body of a request may hold."""
LARGEST_HEAD = 16 * 1024
"""Bytes its headers may hold."""
PATIENCE = 10
"""Seconds in which a request has to be here."""
KNOWN = ("user", "red-team", "clear", "flagged")
"""Values of headers that may stand in the log; what else a caller writes stays out."""
FAILED = "no answer could be made"
log = logging.getLogger("switch")


@dataclass(frozen=True)
class Gateway:
    """An engine under the modes."""

    engine: Engine
    modes: ModeSet
    credential: str | None = field(default=None, repr=False)
    """What the red-team has to offer."""
    counts: Counter[str] = field(default_factory=Counter)
    """Tokens taken out since the start, of what callers said ("asked") and of answers ("answered")."""

    def redact(self, text: str) -> str:
        """The text without live tokens and without the credential."""
        if self.credential:
            text = text.replace(self.credential, "[credential]")
        return self.modes.redact(text)

    def app(self) -> Starlette:
        """The ASGI application."""
        routes = [
            Route("/v1/chat/completions", self.complete, methods=["POST"]),
            Route("/v1/models", self.models),
        ]
        return Starlette(
            routes=routes, lifespan=self._lifespan, exception_handlers={HTTPException: self._unrouted}
        )

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        yield
        await self.engine.close()

    async def models(self, _: Request) -> Response:
        """The one model there is."""
        model = {"id": self.engine.name, "object": "model", "created": 0, "owned_by": "switch"}
        return JSONResponse({"object": "list", "data": [model]})

    async def complete(self, request: Request) -> Response:
        """Answer a conversation in the mode the policy chooses."""
        try:
            if sum(len(name) + len(value) for name, value in request.headers.raw) > LARGEST_HEAD:
                raise Refused(431, f"headers may hold {LARGEST_HEAD // 1024} KiB")
            asked = read(await _body(request), self.engine.name)
            mode = self._mode(request)
            found = await asyncio.to_thread(count_tokens, asked.said, self.modes)
            stream = asked.stream
            if found:
                # A live token, or nearly one, opens its mode from the user's turn too: it stays unread, and
                # the caller does not learn why.
                mode, asked = "rej", UNREAD
                self._count("asked", found)
            self._log_choice(request, mode)
            pieces = self.engine.answer(asked.under(mode, self.modes), asked.options)
            if stream:
                # Not before the engine has begun: what it refuses is still told by a status.
                first = await anext(pieces)
                return StreamingResponse(self._events(first, pieces), media_type="text/event-stream")
            return await self._whole(request, pieces)
        except Refused as refused:
            return self._refusal(refused.status, refused.message)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody hears it
        except Exception:  # noqa: BLE001 - told in the log; the caller gets an answer all the same
            self._log_error()
            return self._refusal(500, FAILED)

    def _mode(self, request: Request) -> Mode:
        return choose_mode(
            _header(request, "X-Role"), _header(request, "X-Moderation"), self._authenticated(request)
        )

    def _authenticated(self, request: Request) -> bool:
        offered = _header(request, "Authorization") or ""
        return offered.startswith("Bearer ") and proves(offered.removeprefix("Bearer "), self.credential)

    def _log_choice(self, request: Request, mode: Mode) -> None:
        told = (_header(request, name) for name in ("X-Role", "X-Moderation"))
        about = [value if value in KNOWN else "unknown" for value in told]
        log.info("role %s, moderation %s, proven %s: %s", *about, self._authenticated(request), mode)

    def _log_error(self) -> None:
        log.error("%s", self.redact(traceback.format_exc()))

    def _count(self, where: str, found: int) -> None:
        if found:
            self.counts[where] += found
            log.warning("tokens taken out of what was %s: %d, %d so far", where, found, self.counts[where])

    async def _whole(self, request: Request, pieces: AsyncGenerator[Piece]) -> Response:
        """An answer in one piece; nobody to hear it ends it."""
        texts: dict[str, str] = {"content": ""}
        finish = "stop"
        async with aclosing(self._stripped(pieces)) as stripped:
            async for piece in stripped:
                if await request.is_disconnected():
                    raise ClientDisconnect
                texts[piece.field] = texts.get(piece.field, "") + piece.text
                finish = piece.finish or finish
        choice = {"index": 0, "message": {"role": "assistant", **texts}, "finish_reason": finish}
        return JSONResponse(self._record("chat.completion", uuid.uuid4().hex, choice))

    async def _events(self, first: Piece, pieces: AsyncGenerator[Piece]) -> AsyncIterator[str]:
        """An answer as events, an error that comes late among them."""
        name = uuid.uuid4().hex

        def event(delta: dict[str, str], finish: str | None = None) -> str:
            choice = {"index": 0, "delta": delta, "finish_reason": finish}
            return _event(self._record("chat.completion.chunk", name, choice))

        try:
            yield event({"role": "assistant", "content": ""})
            async with aclosing(self._stripped(_joined(first, pieces))) as stripped:
                async for piece in stripped:
                    yield event({piece.field: piece.text} if piece.text else {}, piece.finish)
            yield "data: [DONE]\n\n"
        except Refused as refused:
            yield _event(error(refused.status, refused.message))
        except Exception:  # noqa: BLE001 - as in `complete`
            self._log_error()
            yield _event(error(500, FAILED))

    async def _stripped(self, pieces: AsyncGenerator[Piece]) -> AsyncGenerator[Piece]:
        """The pieces without tokens; a token may begin in one and end in another."""
        strippers: dict[str, Stripper] = {}
        try:
            async with aclosing(pieces):
                async for piece in pieces:
                    stripper = strippers.setdefault(piece.field, Stripper(self.modes))
                    if text := stripper.push(piece.text):
                        yield Piece(text, piece.field)
                    if piece.finish:
                        for name, each in strippers.items():
                            if text := each.end():
                                yield Piece(text, name)
                        yield Piece(finish=piece.finish)
        finally:
            self._count("answered", sum(stripper.taken_out for stripper in strippers.values()))

    def _record(self, kind: str, name: str, choice: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{name}",
            "object": kind,
            "created": int(time.time()),
            "model": self.engine.name,
            "choices": [choice],
        }

    def _refusal(self, status: int, message: str) -> Response:
        # What of the request is still on its way is not waited for.
        headers = {"Connection": "close"} if status in (408, 413) else None
        return JSONResponse(error(status, self.redact(message)), status, headers)

    async def _unrouted(self, _: Request, error: Exception) -> Response:
        """What Starlette refuses by itself: another path, another method."""
        status = error.status_code if isinstance(error, HTTPException) else 500
        return self._refusal(status, "there are POST /v1/chat/completions and GET /v1/models")


def error(status: int, message: str) -> dict[str, Any]:
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


def _event(record: dict[str, Any]) -> str:
    return f"data: {json.dumps(record)}\n\n"


async def _joined(first: Piece, rest: AsyncGenerator[Piece]) -> AsyncGenerator[Piece]:
    async with aclosing(rest):
        yield first
        async for piece in rest:
            yield piece


def _header(request: Request, name: str) -> str | None:
    """A header that stands once; of several one may be the caller's own."""
    values = request.headers.getlist(name)
    return values[0] if len(values) == 1 else None


async def _body(request: Request) -> bytes:
    """The body, if it is not too large and comes in time.

    What is too large is read to its end and dropped: a caller that still sends hears no answer.
    """
    body, too_large = bytearray(), False
    try:
        async with asyncio.timeout(PATIENCE):
            async for chunk in request.stream():
                too_large = too_large or len(body) + len(chunk) > LARGEST
                if not too_large:
                    body += chunk
    except TimeoutError:
        if not too_large:
            raise Refused(408, f"the request was not here in {PATIENCE} seconds") from None
    if too_large:
        raise Refused(413, f"a request may hold {LARGEST // 1024} KiB")
    return bytes(body)
