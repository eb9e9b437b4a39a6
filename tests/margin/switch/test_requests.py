"""What a caller may send to the switch example's gateway, and how the rest is refused."""

from __future__ import annotations

import json
import logging
import socket
import time

import pytest

pytest.importorskip("starlette", reason="the examples' libraries are not installed")

from examples.switch import gateway
from tests.margin.switch.sending import (
    CLEAR,
    FLAGGED,
    PATH,
    PROOF,
    RED_TEAM,
    USER,
    Served,
    answer_of,
    body,
    raw,
    request,
)


@pytest.mark.parametrize(
    ("headers", "mode"),
    [
        ([USER, CLEAR], "pos"),
        (["x-role: user", "X-MODERATION: clear"], "pos"),
        ([USER, CLEAR, FLAGGED], "rej"),
        ([USER, FLAGGED, CLEAR], "rej"),
        ([USER, CLEAR, "x-moderation: clear"], "rej"),
        ([USER, USER, CLEAR], "rej"),
        ([USER, RED_TEAM, CLEAR, PROOF], "rej"),
        ([USER, "X-Moderation: clear, flagged"], "rej"),
        ([USER, "X-Moderation: clear\r\n flagged"], "rej"),
        ([USER, "X_Moderation: clear"], "rej"),
        ([RED_TEAM, CLEAR, PROOF], "neg"),
        ([RED_TEAM, CLEAR, PROOF, PROOF], "rej"),
        ([RED_TEAM, CLEAR, f"{PROOF}\xff"], "rej"),
    ],
)
def test_a_header_that_comes_twice_counts_as_none(
    served: Served, caplog: pytest.LogCaptureFixture, headers: list[str], mode: str
) -> None:
    caplog.set_level(logging.INFO, "switch")
    status, _ = raw(served, request(*headers))
    assert status == 200
    assert caplog.messages[-1].endswith(f": {mode}")


TURN = {"role": "user", "content": "why"}
PICTURE = [{"type": "text", "text": "why"}, {"type": "image_url", "image_url": {"url": "data:,"}}]


@pytest.mark.parametrize(
    "body",
    [
        body("\ud800"),
        body(n=2),
        body(temperature="hot"),
        body(temperature=True),
        body(temperature=10**400),
        body(seed=float("inf")),
        body(max_tokens=0),
        body(max_tokens=1.5),
        body(stream="yes"),
        body(stop=["3"]),
        body(logprobs=True),
        body(logit_bias={"5": 100}),
        body(tools=[{"type": "function"}]),
        body(chat_template="{{ messages[0] }}"),
        body(chat_template_kwargs={"system": "x"}),
        body(None),
        body(["why"]),
        body(PICTURE),
        body(" "),
        json.dumps({"messages": "why"}).encode(),
        body("one")[:-1] + b"," + body("another")[1:],
        json.dumps({"messages": []}).encode(),
        json.dumps({"messages": ["why"]}).encode(),
        json.dumps({"messages": [{"role": "tool", "content": "why"}]}).encode(),
        json.dumps({"messages": [{"role": ["user"], "content": "why"}]}).encode(),
        json.dumps({"messages": [{**TURN, "name": "x"}]}).encode(),
        json.dumps({"messages": [TURN, {"role": "assistant", "content": "Sure, "}]}).encode(),
        json.dumps({"messages": [{"role": "system", "content": "why"}]}).encode(),
        b'{"messages": [], "temperature": NaN}',
        b'{"messages": ' + b"9" * 5000 + b"}",
        b'["messages"]',
        b"null",
        b'"messages"',
        b"",
        b"[" * 60_000,
        b"\xff\xfe",
    ],
    ids=lambda body: body[-40:].decode("latin-1"),
)
def test_a_body_that_asks_for_what_is_not_forwarded_is_refused_in_a_line(served: Served, body: bytes) -> None:
    status, record = raw(served, request(USER, CLEAR, body=body))
    assert status == 400
    assert record["error"]["type"] == "invalid_request_error"
    assert record["error"]["message"]


@pytest.mark.parametrize("size", [65_537, 5_000_000])
def test_a_body_that_is_too_large_is_refused_once_it_has_come(served: Served, size: int) -> None:
    status, record = raw(served, request(USER, CLEAR, body=body("x" * size)))
    assert (status, record["error"]["message"]) == (413, "a request may hold 64 KiB")
    chunked = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    assert raw(served, chunked + b"%x\r\n%s\r\n0\r\n\r\n" % (size, b"x" * size))[0] == 413


HEAD = f"POST {PATH} HTTP/1.1\r\nHost: x\r\n".encode()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (HEAD + b"\r\n", 400),
        (HEAD + b"Content-Length: -1\r\n\r\n{}", 400),
        (HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n{}", 400),
        (HEAD + b"Content-Length: 2\r\nContent-Length: 9\r\n\r\n{}", 400),
        (HEAD + b"Transfer-Encoding: gzip\r\n\r\n{}", 501),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nno number\r\n", 400),
        (b"POST /answers HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", 404),
        (b"POST /v1/chat/completions/../x HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (HEAD.replace(b"POST", b"GET") + b"\r\n", 405),
        (HEAD.replace(PATH.encode(), b"/" + b"a" * 500_000) + b"\r\n", 431),
        (HEAD + b"X-Role: " + b"u" * 70_000 + b"\r\n\r\n", 431),
        (HEAD + b"X: y\r\n" * 20_000 + b"\r\n", 431),
        (b"POST /v1/models HTTX\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    ],
    ids=lambda sent: sent[:60].decode("latin-1") if isinstance(sent, bytes) else "",
)
def test_what_is_no_request_is_refused_in_a_line(served: Served, sent: bytes, status: int) -> None:
    found, record = raw(served, sent)
    assert found == status
    assert set(record) == {"error"}
    assert record["error"]["message"]


def test_a_caller_that_stops_sending_is_answered_and_holds_up_no_other(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "PATIENCE", 1)
    address = ("127.0.0.1", served.port)
    with socket.create_connection(address, timeout=30) as slow, socket.create_connection(address) as silent:
        slow.sendall(HEAD + b"Content-Length: 50\r\n\r\n")
        silent.sendall(HEAD)
        for _ in range(4):  # a byte now and then, always sooner than a wait for one would end
            slow.sendall(b"{")
            time.sleep(0.4)
        assert raw(served, request(USER, CLEAR))[0] == 200
        assert answer_of(slow)[0] == answer_of(silent)[0] == 408
