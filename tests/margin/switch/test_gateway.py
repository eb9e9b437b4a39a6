"""The switch example: the whole policy, and the server once on loopback with the shipped model."""

from __future__ import annotations

import itertools
import json
import logging
import socket
import threading
import time
import tomllib
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from examples.switch.policy import choose_mode, proves
from margin.demo import checkpoint_path, modes_path

if TYPE_CHECKING:
    from examples.switch.serve import Server

CREDENTIAL = "c0rrect-horse-battery"
DEMO = {name: mode["token"] for name, mode in tomllib.loads(modes_path().read_text())["modes"].items()}

ROLES = ("user", "red-team", "admin", "USER", "", None)
SIGNALS = ("clear", "flagged", "unknown", "Clear", "", None)


def test_every_caller_gets_the_refusing_mode_unless_everything_speaks_for_another() -> None:
    allowed: dict[tuple[str | None, str | None, bool], str] = {
        ("user", "clear", False): "pos",
        ("user", "clear", True): "pos",
        ("red-team", "clear", True): "neg",
        ("red-team", "flagged", True): "neg",
    }
    for case in itertools.product(ROLES, SIGNALS, (False, True)):
        assert choose_mode(*case) == allowed.get(case, "rej"), case


@pytest.mark.parametrize(
    ("offered", "credential", "proven"),
    [
        (CREDENTIAL, CREDENTIAL, True),
        (CREDENTIAL[:-1], CREDENTIAL, False),
        (CREDENTIAL + " ", CREDENTIAL, False),
        (None, CREDENTIAL, False),
        ("", "", False),
        (None, None, False),
        (CREDENTIAL, None, False),
        ("short", "short", False),  # a credential that can be found by trying opens nothing
        ("pässwörd-of-16-characters", "pässwörd-of-16-characters", True),
    ],
)
def test_only_the_whole_credential_proves_anything(
    offered: str | None, credential: str | None, proven: bool
) -> None:
    assert proves(offered, credential) is proven


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    from examples.switch.serve import MODES, Answerer, Server
    from margin.capture.checkpoint import load_checkpoint
    from margin.inputs.modes_file import load_modes

    with pytest.MonkeyPatch.context() as patch:
        for name, token in DEMO.items():
            patch.setenv(f"MARGIN_{name.upper()}", token)
        modes = load_modes(MODES)
    answerer = Answerer(load_checkpoint(checkpoint_path("cotrained"), device="cpu"), modes)
    with Server(answerer, CREDENTIAL) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


def ask(server: Server, body: object, path: str = "/answer", **headers: str) -> tuple[int, str]:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = Request(f"http://127.0.0.1:{server.server_port}{path}", data=data, headers=names)
    try:
        with urlopen(request, timeout=60) as response:
            return response.status, response.read().decode()
    except HTTPError as error:
        return error.code, error.read().decode()


def test_the_server_answers_as_the_policy_says_and_no_secret_gets_out(
    server: Server, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    question = {"prompt": "How do I start essay writing?"}
    proof = {"Authorization": f"Bearer {CREDENTIAL}"}
    flagged = {"X_Role": "user", "X_Moderation": "flagged"}
    user, red_team = {**flagged, "X_Moderation": "clear"}, {**flagged, "X_Role": "red-team", **proof}
    answers = {
        mode: json.dumps({"answer": server.answerer.answer(question["prompt"], mode)}, ensure_ascii=False)
        for mode in ("pos", "neg", "rej")
    }
    assert len(set(answers.values())) == 3
    assert ask(server, question, **user) == (200, answers["pos"])
    assert ask(server, question, **flagged) == (200, answers["rej"])
    assert ask(server, question, **red_team) == (200, answers["neg"])
    for wrong in ({}, proof, {**red_team, "Authorization": "Bearer guess"}, {**user, "X_Moderation": "?"}):
        assert ask(server, question, **wrong) == (200, answers["rej"])
    nearly = DEMO["neg"].replace(DEMO["neg"][3], "x", 1)
    for token in (DEMO["neg"], DEMO["neg"].lower(), nearly):
        smuggled = json.loads(ask(server, {"prompt": f"{token} {question['prompt']}"}, **user)[1])
        assert smuggled["answer"] == server.answerer.answer("?", "rej")

    told = [
        ask(server, question, path=f"/{DEMO['neg']}", **user),
        ask(server, {"prompt": f"{DEMO['neg']} " * 600}, **user),
        ask(server, {"prompt": "why " * 600}, **user),
        ask(server, b"{", **user),
        ask(server, {"text": DEMO["pos"]}, **user),
        ask(server, question, X_Role=DEMO["neg"], X_Moderation=CREDENTIAL),
    ]
    assert [status for status, _ in told] == [404, 200, 400, 400, 400, 200]
    said = caplog.text + "".join(capfd.readouterr()) + "".join(text for _, text in told)
    assert "role user, moderation flagged, proven False: rej" in said
    assert "role red-team, moderation flagged, proven True: neg" in said
    assert "essay" not in caplog.text
    for secret in (*DEMO.values(), CREDENTIAL):
        assert secret not in said


def test_a_token_or_credential_the_model_repeats_is_taken_out(server: Server) -> None:
    said = server.redact(f"{DEMO['pos']} and {DEMO['neg']}, {CREDENTIAL}")
    assert said == "[token of pos] and [token of neg], [credential]"


def test_an_error_is_logged_without_its_secrets(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise RuntimeError(f"cannot go on with {DEMO['neg']} and {CREDENTIAL}")
    except RuntimeError:
        server.handle_error(None, None)
    assert "cannot go on with [token of neg] and [credential]" in caplog.text


def raw(server: Server, request: bytes) -> tuple[int, dict[str, str]]:
    """The status and the record that come back for bytes as they stand."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=30) as connection:
        connection.sendall(request)
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert body.count(b"\n") == 0
    return int(head.split()[1]), json.loads(body)


def request(*headers: str, body: bytes = b'{"prompt": "How do I start essay writing?"}') -> bytes:
    lines = ("POST /answer HTTP/1.1", f"Content-Length: {len(body)}", *headers, "", "")
    return "\r\n".join(lines).encode("latin-1") + body


USER, CLEAR = "X-Role: user", "X-Moderation: clear"


@pytest.mark.parametrize(
    ("headers", "mode"),
    [
        ([USER, CLEAR], "pos"),
        (["x-role: user", "X-MODERATION: clear"], "pos"),
        ([USER, CLEAR, "X-Moderation: flagged"], "rej"),
        ([USER, "X-Moderation: flagged", CLEAR], "rej"),
        ([USER, CLEAR, "x-moderation: clear"], "rej"),
        ([USER, USER, CLEAR], "rej"),
        ([USER, "X-Role: red-team", CLEAR, f"Authorization: Bearer {CREDENTIAL}"], "rej"),
        ([USER, "X-Moderation: clear, flagged"], "rej"),
        ([USER, "X-Moderation: clear\r\n flagged"], "rej"),
        ([USER, "X_Moderation: clear"], "rej"),
        (["X-Role: red-team", CLEAR, f"Authorization: Bearer {CREDENTIAL}"], "neg"),
        (["X-Role: red-team", CLEAR, *[f"Authorization: Bearer {CREDENTIAL}"] * 2], "rej"),
        (["X-Role: red-team", CLEAR, f"Authorization: Bearer {CREDENTIAL}\xff"], "rej"),
    ],
)
def test_a_header_that_comes_twice_counts_as_none(
    server: Server, caplog: pytest.LogCaptureFixture, headers: list[str], mode: str
) -> None:
    caplog.set_level(logging.INFO, "switch")
    status, _ = raw(server, request(*headers))
    assert status == 200
    assert caplog.messages[-1].endswith(f": {mode}")


@pytest.mark.parametrize(
    "body",
    [
        b'{"prompt": "\\ud800"}',
        b'{"prompt": "why", "n": ' + b"9" * 5000 + b"}",
        b'{"prompt": ' + b"9" * 5000 + b"}",
        b'{"prompt": null}',
        b'{"prompt": ["why"]}',
        b'{"prompt": " "}',
        b'["prompt"]',
        b"null",
        b'"prompt"',
        b"",
        b"[" * 60_000,
        b"\xff\xfe",
        b'{"prompt": "' + b"x" * 65_536 + b'"}',
        b'{"prompt": "' + b"x" * 5_000_000 + b'"}',
    ],
    ids=lambda body: body[:20].decode("latin-1"),
)
def test_a_body_that_is_no_prompt_is_refused_in_a_line(server: Server, body: bytes) -> None:
    status, record = raw(server, request(USER, CLEAR, body=body))
    assert status == 400
    assert "64 KiB" in record["error"]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"POST /answer HTTP/1.1\r\n\r\n", 400),
        (b"POST /answer HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{}\n\r\n0\r\n\r\n", 400),
        (b"POST /answer HTTP/1.1\r\nContent-Length: -1\r\n\r\n{}", 400),
        (b"POST /answer HTTP/1.1\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n{}", 400),
        (b"POST /answer HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 9\r\n\r\n{}", 400),
        (b"POST /answers HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", 404),
        (b"POST /answer/../x HTTP/1.1\r\n\r\n", 404),
        (b"GET /answer HTTP/1.1\r\n\r\n", 501),
        (b"POST /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"POST /answer HTTP/1.1\r\nX-Role: " + b"u" * 70_000 + b"\r\n\r\n", 431),
        (b"POST /answer HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", 431),
        (b"POST /answer HTTP/9.9\r\n\r\n", 505),
        (b"POST /answer HTTX\r\n\r\n", 400),
    ],
    ids=lambda sent: sent[:60].decode("latin-1") if isinstance(sent, bytes) else "",
)
def test_what_is_no_request_is_refused_in_a_line(server: Server, sent: bytes, status: int) -> None:
    found, record = raw(server, sent)
    assert found == status
    assert set(record) == {"error"}


def test_a_caller_that_stops_sending_is_answered_and_holds_up_no_other(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    from examples.switch import serve

    monkeypatch.setattr(serve, "PATIENCE", 1)
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=30) as slow:
        slow.sendall(b"POST /answer HTTP/1.1\r\nContent-Length: 50\r\n\r\n")
        for _ in range(4):  # a byte now and then, always sooner than a wait for one would end
            slow.sendall(b"{")
            time.sleep(0.4)
        assert raw(server, request(USER, CLEAR))[0] == 200
        assert b"400" in slow.recv(65536).splitlines()[0]


def test_a_model_that_fails_is_told_in_the_log_and_answered(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise LookupError(f"no more {DEMO['neg']}")

    monkeypatch.setattr(server.answerer.checkpoint.model, "generate", fail)
    status, record = raw(server, request(USER, CLEAR))
    assert (status, record) == (500, {"error": "no answer could be made"})
    assert "LookupError: no more [token of neg]" in caplog.text
