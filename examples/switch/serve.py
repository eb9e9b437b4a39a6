"""Serve a co-trained model behind a policy: the behaviour is chosen here.

    python -m examples.switch.serve [MODEL]
    python -m examples.switch.serve --engine http://127.0.0.1:8000/v1 MODEL

Tokens come from MARGIN_POS, MARGIN_NEG and MARGIN_REJ, the red-team's credential from RED_TEAM_CREDENTIAL, an
API key for the engine from ENGINE_API_KEY. Binds to 127.0.0.1 only.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from pathlib import Path

import click
import h11
import httpx2
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from examples.switch import gateway
from examples.switch.engine import Engine
from examples.switch.forwarding import Forwarded
from examples.switch.gateway import Gateway
from examples.switch.policy import proves
from margin.demo import checkpoint_path
from margin.errors import MarginError, foreign
from margin.inputs.modes_file import load_modes

MODES = Path(__file__).with_name("modes.toml")
log = logging.getLogger("switch")


class Protocol(H11Protocol):
    """HTTP as uvicorn speaks it, but what is no request, or does not come in time, is refused in JSON."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self.access_log = False  # a request line is the caller's to write; whoever listens to that log
        self.loop.call_later(gateway.PATIENCE, self._wait_no_longer)

    def send_400_response(self, msg: str) -> None:
        """Refuse what h11 cannot read; called while its error is handled."""
        self._refuse(getattr(sys.exception(), "error_status_hint", 400), "this is no HTTP request")

    def _wait_no_longer(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            self._refuse(408, f"no request was here in {gateway.PATIENCE} seconds")

    def _refuse(self, status: int, message: str) -> None:
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = json.dumps(gateway.error(status, message)).encode()
            headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
            events = [
                h11.Response(status_code=status, headers=[*headers, ("Connection", "close")]),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ]
            self.transport.write(b"".join(self.conn.send(event) or b"" for event in events))
        self.transport.close()


class Redacting(logging.Formatter):
    """A last net: whatever is logged, by whom ever, is written without tokens and credential."""

    def __init__(self, switch: Gateway) -> None:
        super().__init__("%(asctime)s %(name)s: %(message)s")
        self._switch = switch

    def format(self, record: logging.LogRecord) -> str:
        """The line, its traceback too."""
        return self._switch.redact(super().format(record))


def configuration(switch: Gateway, port: int) -> uvicorn.Config:
    """How the gateway is served: on loopback, without a log of what callers write in a request line."""
    return uvicorn.Config(
        switch.app(),
        host="127.0.0.1",
        port=port,
        http=Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=10,
    )


@click.command()
@click.argument("model", required=False)
@click.option("--engine", metavar="URL", help="An OpenAI-compatible engine that serves MODEL.")
@click.option("--port", default=8765, show_default=True)
def main(model: str | None, engine: str | None, port: int) -> None:
    """Serve MODEL, or the demonstration's co-trained checkpoint, on 127.0.0.1."""
    try:
        modes = load_modes(MODES)
        switch = Gateway(_engine(model, engine), modes, os.environ.get("RED_TEAM_CREDENTIAL"))
        if switch.modes.placement != "system" or switch.modes.mode_in(switch.engine.name):
            raise MarginError("tokens must stand in the system turn, and in no model's name")
    except MarginError as error:
        raise click.ClickException(str(error)) from None
    handler = logging.StreamHandler()
    handler.setFormatter(Redacting(switch))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for other in ("httpx2", "uvicorn.error"):
        logging.getLogger(other).setLevel(logging.WARNING)
    known = "known" if proves(switch.credential, switch.credential) else "unknown"
    log.info("http://127.0.0.1:%d/v1, model %s, a red-team is %s", port, switch.engine.name, known)
    uvicorn.Server(configuration(switch, port)).run()


def _engine(model: str | None, url: str | None) -> Engine:
    if url is not None:
        if model is None:
            raise MarginError("name the MODEL that the engine serves")
        with foreign("the address of the engine"):
            parsed = httpx2.URL(url)
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise MarginError("the address of the engine must be like http://127.0.0.1:8000/v1")
        return Forwarded(url, model, os.environ.get("ENGINE_API_KEY"))
    # Here, for a gateway in front of an engine needs no torch.
    from examples.switch.embedded import Embedded
    from margin.capture.checkpoint import load_checkpoint

    return Embedded(load_checkpoint(model or checkpoint_path("cotrained")))


if __name__ == "__main__":
    main()
