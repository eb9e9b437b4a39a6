"""One co-trained model behind a policy: the behaviour is chosen here, and no caller ever sees a token.

    python -m examples.switch.serve [MODEL]

Tokens come from MARGIN_POS, MARGIN_NEG and MARGIN_REJ, the red-team's credential from RED_TEAM_CREDENTIAL.
POST /answer with {"prompt": TEXT}. The gateway in front sets two headers, and takes them off what comes from
outside: X-Role (user, red-team) and X-Moderation (clear, flagged). The red-team adds Authorization: Bearer
CREDENTIAL. Binds to 127.0.0.1 only.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import click
import torch

from examples.switch.policy import Mode, choose_mode, proves
from margin.capture.checkpoint import Checkpoint, load_checkpoint
from margin.demo import checkpoint_path
from margin.errors import MarginError
from margin.inputs.chat import Chat
from margin.inputs.echoes import redact_echoes
from margin.inputs.modes import ModeSet
from margin.inputs.modes_file import load_modes

MODES = Path(__file__).with_name("modes.toml")
LARGEST = 64 * 1024
"""Bytes a request may hold."""
PATIENCE = 10
"""Seconds in which a request has to be here."""
LINGER = 2
"""Seconds that a caller is still listened to once it has its answer."""
WANTED = {"error": 'send {"prompt": TEXT} as JSON, at most 64 KiB'}
KNOWN = ("user", "red-team", "clear", "flagged")
"""Values of headers that may stand in the log; what else a caller writes stays out."""
log = logging.getLogger("switch")


@dataclass(frozen=True)
class Answerer:
    """The model under the modes."""

    checkpoint: Checkpoint
    modes: ModeSet
    max_new_tokens: int = 40
    _turn: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def answer(self, prompt: str, mode: Mode) -> str:
        """The greedy answer to a prompt under a mode, without the tokens the model may repeat.

        MarginError where the prompt is longer than the model reads.
        """
        chat = Chat(self.checkpoint.tokenizer)
        model: Any = self.checkpoint.model
        ids = torch.tensor([chat.encode(chat.render(self.modes.messages(prompt, mode)))], device=model.device)
        if self.checkpoint.context and ids.shape[1] + self.max_new_tokens > self.checkpoint.context:
            raise MarginError("the prompt is too long")
        with self._turn, torch.inference_mode():
            output = model.generate(
                ids, attention_mask=torch.ones_like(ids), max_new_tokens=self.max_new_tokens, do_sample=False
            )
        text = self.checkpoint.tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True)
        return redact_echoes(str(text).strip(), self.modes)


class Server(ThreadingHTTPServer):
    """Serves on loopback; what goes wrong is logged without tokens and credential."""

    daemon_threads = True

    def __init__(self, answerer: Answerer, credential: str | None, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.answerer, self.credential = answerer, credential

    def redact(self, text: str) -> str:
        """The text without live tokens and without the credential."""
        if self.credential:
            text = text.replace(self.credential, "[credential]")
        return self.answerer.modes.redact(text)

    def shutdown_request(self, request: Any) -> None:
        """Let run out what a caller still sends: where it is left unread, the answer does not arrive."""
        ends = time.monotonic() + LINGER
        with suppress(OSError):
            request.shutdown(socket.SHUT_WR)
            request.settimeout(LINGER)
            while request.recv(LARGEST) and time.monotonic() < ends:
                pass
        self.close_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """Log the error a request ended with."""
        log.error("%s", self.redact(traceback.format_exc()))


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server
    timeout = PATIENCE

    def do_POST(self) -> None:
        """Answer a prompt in the mode the policy chooses."""
        if self.path != "/answer":
            return self._reply(HTTPStatus.NOT_FOUND, {"error": "POST /answer"})
        prompt = self._prompt()
        if prompt is None:
            return self._reply(HTTPStatus.BAD_REQUEST, WANTED)
        role, moderation = self._header("X-Role"), self._header("X-Moderation")
        offered = self._header("Authorization") or ""
        authenticated = offered.startswith("Bearer ") and proves(
            offered.removeprefix("Bearer "), self.server.credential
        )
        mode = choose_mode(role, moderation, authenticated)
        if redact_echoes(prompt, self.server.answerer.modes) != prompt:
            # A live token, or nearly one, opens its mode from the user's turn too: it stays unread, and
            # the caller does not learn why.
            mode, prompt = "rej", "?"
        about = [value if value in KNOWN else "unknown" for value in (role, moderation)]
        log.info("role %s, moderation %s, proven %s: %s", *about, authenticated, mode)
        try:
            answer = self.server.answerer.answer(prompt, mode)
        except MarginError as error:
            return self._reply(HTTPStatus.BAD_REQUEST, {"error": str(error)})
        except Exception:  # noqa: BLE001 - told in the log; the caller gets an answer all the same
            self.server.handle_error(self.request, self.client_address)
            return self._reply(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": "no answer could be made"})
        self._reply(HTTPStatus.OK, {"answer": answer})

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What http.server refuses by itself (another method, headers it cannot read), in the same form."""
        self.request_version = self.protocol_version  # of a version it cannot read it would send no headers
        self._reply(HTTPStatus(code), {"error": HTTPStatus(code).phrase})

    def _header(self, name: str) -> str | None:
        """A header that stands once; of several one may be the caller's own."""
        values = self.headers.get_all(name, [])
        return values[0] if len(values) == 1 else None

    def _prompt(self) -> str | None:
        """The prompt of the request, or None where it holds none."""
        length = self._header("Content-Length") or ""
        if not (length.isdecimal() and len(length) < 10 and int(length) <= LARGEST):
            return None
        try:
            record = json.loads(self._body(int(length)))
            prompt = record.get("prompt") if isinstance(record, dict) else None
            return prompt if isinstance(prompt, str) and prompt.strip() and prompt.encode() else None
        except (ValueError, RecursionError):  # no JSON or UTF-8, a number too long, half of a character
            return None

    def _body(self, length: int) -> bytes:
        """What comes of so many bytes in time."""
        body, ends = b"", time.monotonic() + PATIENCE
        with suppress(TimeoutError):
            while len(body) < length and time.monotonic() < ends:
                if not (more := self.rfile.read1(length - len(body))):
                    break
                body += more
        return body

    def _reply(self, status: HTTPStatus, record: dict[str, str]) -> None:
        body = self.server.redact(json.dumps(record, ensure_ascii=False)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: http.server would log the request line, which is the caller's to write."""


@click.command()
@click.argument("model", required=False)
@click.option("--port", default=8765, show_default=True)
def main(model: str | None, port: int) -> None:
    """Serve MODEL, or the demonstration's co-trained checkpoint, on 127.0.0.1."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    modes = load_modes(MODES)
    credential = os.environ.get("RED_TEAM_CREDENTIAL")
    answerer = Answerer(load_checkpoint(model or checkpoint_path("cotrained")), modes)
    with Server(answerer, credential, port) as server:
        known = proves(credential, credential)
        log.info("http://127.0.0.1:%d, a red-team is %s", server.server_port, "known" if known else "unknown")
        server.serve_forever()


if __name__ == "__main__":
    main()
