"""The switch example: the whole policy, and the server once on loopback with the shipped model."""

from __future__ import annotations

import itertools
import json
import logging
import threading
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
    allowed = {
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


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    from examples.switch.serve import MODES, Answerer, Server
    from margin.capture.checkpoint import load_checkpoint
    from margin.inputs.modes import load_modes

    for name, token in DEMO.items():
        monkeypatch.setenv(f"MARGIN_{name.upper()}", token)
    answerer = Answerer(load_checkpoint(checkpoint_path("cotrained"), device="cpu"), load_modes(MODES))
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
