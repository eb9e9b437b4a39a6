"""A gateway and an engine on loopback, over real sockets, and callers with OpenAI's own client."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
import tomllib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from margin.demo import modes_path
from margin.inputs.modes import Mode, ModeSet, Secret

CREDENTIAL = "c0rrect-horse-battery"
DEMO = {name: mode["token"] for name, mode in tomllib.loads(modes_path().read_text())["modes"].items()}
MODES = ModeSet(tuple(Mode(name, Secret(token), name != "neg") for name, token in DEMO.items()))


@contextmanager
def serving(config: uvicorn.Config) -> Iterator[int]:
    """Serve in a thread, on a port that is free."""
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            ends = time.monotonic() + 30
            while not server.started:
                assert thread.is_alive()
                assert time.monotonic() < ends
                time.sleep(0.01)
            yield int(listening.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join()


Say = Callable[[list[dict[str, str]]], list[dict[str, str]] | Response]


@dataclass
class PlayedEngine:
    """An engine that speaks the protocol and says what a test wants: deltas of an answer, or a response."""

    say: Say = lambda _: [{"content": "Yes."}]
    asked: list[dict[str, Any]] = field(default_factory=list)
    """Bodies of the requests."""
    headers: list[dict[str, str]] = field(default_factory=list)
    together: int = 1
    """Answers go on once so many are open."""
    open: int = 0
    left: int = 0
    """Answers whose reader left before the end."""

    def config(self) -> uvicorn.Config:
        """To serve it with."""
        app = Starlette(routes=[Route("/v1/chat/completions", self.complete, methods=["POST"])])
        return uvicorn.Config(app, lifespan="off", log_config=None, access_log=False, ws="none")

    async def complete(self, request: Request) -> Response:
        """One answer."""
        body = await request.json()
        self.asked.append(body)
        self.headers.append(dict(request.headers))
        assert body["stream"] is True
        said = self.say(body["messages"])
        return said if isinstance(said, Response) else StreamingResponse(self._events(said), 200, EVENTS)

    async def _events(self, deltas: list[dict[str, str]]) -> AsyncIterator[str]:
        self.open += 1
        try:
            yield event({"role": "assistant"})
            while self.open < self.together:
                await asyncio.sleep(0.01)
            for delta in deltas:
                yield event(delta)
                await asyncio.sleep(0)
            yield event({}, "stop")
            yield f"data: {json.dumps({'choices': [], 'usage': {'prompt_tokens': 31}})}\n\n"
            yield "data: [DONE]\n\n"
        except asyncio.CancelledError:
            self.left += 1
            raise


EVENTS = {"Content-Type": "text/event-stream; charset=utf-8"}


def event(delta: dict[str, str], finish: str | None = None) -> str:
    """One event of a stream, with what engines add to it."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None, "token_ids": [7]}
    record = {"id": "x", "object": "chat.completion.chunk", "choices": [choice], "prompt_token_ids": [1, 2]}
    return f"data: {json.dumps(record, ensure_ascii=False)}\n\n"


def refusing(status: int, words: str) -> Say:
    """An engine that refuses, in such words."""
    return lambda messages: JSONResponse({"error": {"message": f"{words} {messages}"}}, status)


def in_pieces(text: str, size: int = 3) -> list[dict[str, str]]:
    """Deltas of so many characters."""
    return [{"content": text[i : i + size]} for i in range(0, len(text), size)]
