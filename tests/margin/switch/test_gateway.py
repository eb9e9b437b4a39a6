"""The switch example's gateway with the shipped model: what it answers, and what gets out."""

from __future__ import annotations

import io
import json
import logging
import socket
import subprocess
import sys
import time
from typing import Any

import pytest
from click.testing import CliRunner

pytest.importorskip("starlette", reason="the examples' libraries are not installed")

from examples.switch.serve import Redacting, main
from tests.margin.switch.sending import (
    CLEAR,
    FLAGGED,
    PROOF,
    QUESTION,
    RED_TEAM,
    USER,
    Served,
    ask,
    body,
    greedy,
    raw,
    request,
)
from tests.margin.switch.serving import CREDENTIAL, DEMO


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
