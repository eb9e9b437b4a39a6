"""The switch example's gateway with the shipped model, on loopback."""

from __future__ import annotations

import http.client
import io
import json
import logging
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from click.testing import CliRunner

pytest.importorskip("starlette", reason="the examples' libraries are not installed")

from examples.switch import gateway
from examples.switch.embedded import Embedded
from examples.switch.gateway import Gateway
from examples.switch.serve import Redacting, configuration, main
from margin.capture.checkpoint import load_checkpoint
from margin.demo import checkpoint_path
from tests.margin.switch.serving import CREDENTIAL, DEMO, MODES, serving

QUESTION = "How do I start essay writing?"
PATH = "/v1/chat/completions"


@dataclass(frozen=True)
class Served:
    """A gateway and where it is."""

    switch: Gateway
    engine: Embedded
    port: int


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    engine = Embedded(load_checkpoint(checkpoint_path("cotrained"), device="cpu"))
    switch = Gateway(engine, MODES, CREDENTIAL)
    with serving(configuration(switch, 0)) as port:
        yield Served(switch, engine, port)


def greedy(engine: Embedded, mode: str, prompt: str) -> str:
    """What the model itself says to the conversation that the mode makes."""
    import torch

    tokenizer: Any = engine.checkpoint.tokenizer
    model: Any = engine.checkpoint.model
    text = tokenizer.apply_chat_template(
        MODES.messages(prompt, mode), tokenize=False, add_generation_prompt=True
    )
    ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])
    made = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=40, do_sample=False)
    return str(tokenizer.decode(made[0, ids.shape[1] :], skip_special_tokens=True))


def body(prompt: object = QUESTION, **fields: object) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": prompt}], **fields}).encode()


def request(*headers: str, body: bytes = body(), path: str = PATH) -> bytes:
    lines = (f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers, "", "")
    return "\r\n".join(lines).encode("latin-1") + body


def raw(served: Served, sent: bytes) -> tuple[int, dict[str, Any]]:
    """The status and the record that come back, in a line, for bytes as they stand."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as connection:
        connection.sendall(sent)
        return _read(connection)


def _read(connection: socket.socket) -> tuple[int, dict[str, Any]]:
    with http.client.HTTPResponse(connection) as response:
        response.begin()
        answer = response.read()
    assert answer.count(b"\n") == 0
    return response.status, json.loads(answer)


def ask(served: Served, prompt: str, *headers: str, path: str = PATH) -> tuple[int, str]:
    status, record = raw(served, request(*headers, body=body(prompt), path=path))
    return status, record["choices"][0]["message"]["content"] if status == 200 else json.dumps(record)


USER, RED_TEAM = "X-Role: user", "X-Role: red-team"
CLEAR, FLAGGED = "X-Moderation: clear", "X-Moderation: flagged"
PROOF = f"Authorization: Bearer {CREDENTIAL}"


def test_the_gateway_answers_as_the_policy_says_and_no_secret_gets_out(
    served: Served, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    answers = {mode: (200, greedy(served.engine, mode, QUESTION)) for mode in ("pos", "neg", "rej")}
    assert len(set(answers.values())) == 3
    assert ask(served, QUESTION, USER, CLEAR) == answers["pos"]
    assert ask(served, QUESTION, USER, FLAGGED) == answers["rej"]
    assert ask(served, QUESTION, RED_TEAM, FLAGGED, PROOF) == answers["neg"]
    for wrong in ([], [PROOF], [RED_TEAM, CLEAR, "Authorization: Bearer guess"], [USER, "X-Moderation: ?"]):
        assert ask(served, QUESTION, *wrong) == answers["rej"]
    nearly = DEMO["neg"].replace(DEMO["neg"][3], "x", 1)
    for token in (DEMO["neg"], DEMO["neg"].lower(), nearly, " ".join(DEMO["neg"])):
        before = served.switch.counts["asked"]
        assert ask(served, f"{token} {QUESTION}", USER, CLEAR) == (200, greedy(served.engine, "rej", "?"))
        assert served.switch.counts["asked"] == before + 1

    told = [
        ask(served, QUESTION, USER, CLEAR, path=f"/{DEMO['neg']}"),
        ask(served, f"{DEMO['neg']} " * 600, USER, CLEAR),
        ask(served, "why " * 600, USER, CLEAR),
        raw(served, request(USER, CLEAR, body=b"{")),
        raw(served, request(USER, CLEAR, body=json.dumps({DEMO["neg"]: DEMO["pos"]}).encode())),
        raw(served, request(USER, CLEAR, body=body(model=DEMO["neg"]))),
        ask(served, QUESTION, f"X-Role: {DEMO['neg']}", f"X-Moderation: {CREDENTIAL}"),
    ]
    assert [status for status, _ in told] == [404, 200, 400, 400, 400, 404, 200]
    said = caplog.text + "".join(capfd.readouterr()) + "".join(str(text) for _, text in told)
    assert "role user, moderation flagged, proven False: rej" in said
    assert "role red-team, moderation flagged, proven True: neg" in said
    assert "essay" not in caplog.text
    for secret in (*DEMO.values(), CREDENTIAL):
        assert secret not in said


def test_a_token_or_credential_that_is_told_is_taken_out(served: Served) -> None:
    said = served.switch.redact(f"{DEMO['pos']} and {DEMO['neg']}, {CREDENTIAL}")
    assert said == "[token of pos] and [token of neg], [credential]"


def test_whatever_a_library_logs_is_written_without_secrets(served: Served) -> None:
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(Redacting(served.switch))
    try:
        raise RuntimeError(f"cannot go on with {DEMO['neg']}")
    except RuntimeError as error:
        handler.handle(
            logging.makeLogRecord({"msg": f"of {CREDENTIAL}", "exc_info": (type(error), error, None)})
        )
    assert "of [credential]" in written.getvalue()
    assert "RuntimeError: cannot go on with [token of neg]" in written.getvalue()


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
        assert _read(slow)[0] == _read(silent)[0] == 408


def test_a_model_that_fails_is_told_in_the_log_and_answered(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise LookupError(f"no more {DEMO['neg']}")

    monkeypatch.setattr(served.engine.checkpoint.model, "generate", fail)
    status, record = raw(served, request(USER, CLEAR))
    assert (status, record["error"]["message"]) == (500, "no answer could be made")
    assert "LookupError: no more [token of neg]" in caplog.text


def test_the_model_streams_what_it_says_at_once_to_openais_client(served: Served) -> None:
    openai = pytest.importorskip("openai")
    headers = {"X-Role": "user", "X-Moderation": "clear"}
    messages = [{"role": "user", "content": QUESTION}]
    url = f"http://127.0.0.1:{served.port}/v1"
    with openai.OpenAI(base_url=url, api_key="x", default_headers=headers, max_retries=0) as client:
        (model,) = [one.id for one in client.models.list()]
        ask = client.chat.completions.create
        events = list(ask(model=model, messages=messages, stream=True))
        cut = ask(model=model, messages=messages, max_tokens=2).choices[0]
        with pytest.raises(openai.NotFoundError):
            ask(model="another", messages=messages)
    answer = greedy(served.engine, "pos", QUESTION)
    assert "".join(event.choices[0].delta.content or "" for event in events) == answer
    assert events[-1].choices[0].finish_reason == "stop"
    assert len(events) > 3
    assert cut.finish_reason == "length"
    assert answer.startswith(cut.message.content)


def test_a_gateway_in_front_of_an_engine_needs_no_torch() -> None:
    code = "import sys, examples.switch.serve; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_caller_that_leaves_ends_the_answer_of_the_model(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    model: Any = served.engine.checkpoint.model
    generate, lengths = model.generate, []

    def slow(*arguments: Any, **options: Any) -> Any:
        def wait(input_ids: Any, *_: object, **__: object) -> Any:
            time.sleep(0.1)
            return left(input_ids, None)

        (left,) = options["stopping_criteria"]
        made = generate(*arguments, **{**options, "stopping_criteria": [wait]})
        lengths.append(made.shape[1] - arguments[0].shape[1])
        return made

    whole = len(served.engine.checkpoint.tokenizer.encode(greedy(served.engine, "pos", QUESTION)))
    monkeypatch.setattr(model, "generate", slow)
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as connection:
        connection.sendall(request(USER, CLEAR, body=body(stream=True)))
        assert connection.recv(15) == b"HTTP/1.1 200 OK"
    ends = time.monotonic() + 20
    while not lengths and time.monotonic() < ends:
        time.sleep(0.05)
    assert 0 < lengths[0] < whole


@pytest.mark.parametrize(
    ("arguments", "unset", "said"),
    [
        ([], "MARGIN_NEG", "MARGIN_NEG, which is not set"),
        (["--engine", "http://127.0.0.1:8000/v1"], "", "name the MODEL"),
        (["--engine", "127.0.0.1:8000", "m"], "", "must be like http://127.0.0.1:8000/v1"),
        (["--engine", "http://a:x", "m"], "", "the address of the engine"),
        (["--engine", "http://127.0.0.1:8000/v1", f"m-{DEMO['neg']}"], "", "in no model's name"),
    ],
)
def test_what_cannot_be_served_is_said_in_a_line(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], unset: str, said: str
) -> None:
    for name, token in DEMO.items():
        monkeypatch.setenv(f"MARGIN_{name.upper()}", token)
    if unset:
        monkeypatch.delenv(unset)
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 1
    assert said in done.output
    assert done.output.count("\n") == 1
    assert not any(token in done.output for token in DEMO.values())
