"""The switch in front of an engine, asked with OpenAI's own client."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("openai", reason="the examples' libraries are not installed")

import openai
from starlette.responses import Response

from examples.switch.forwarding import Forwarded
from examples.switch.gateway import Gateway
from examples.switch.serve import configuration
from margin.inputs.echoes import MARK, redact_echoes
from tests.margin.inputs.disguises import disguises
from tests.margin.switch.serving import (
    CREDENTIAL,
    DEMO,
    EVENTS,
    MODES,
    PlayedEngine,
    event,
    in_pieces,
    refusing,
    serving,
)

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionMessageParam

USER = {"X-Role": "user", "X-Moderation": "clear"}
RED_TEAM = {"X-Role": "red-team", "X-Moderation": "flagged"}
WHY: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Why?"}]


class Front:
    """A played engine, the gateway in front of it, and callers."""

    def __init__(self, engine: PlayedEngine, switch: Gateway, url: str) -> None:
        self.engine, self.switch, self.url = engine, switch, url
        self.callers = ExitStack()

    def client(self, headers: dict[str, str], key: str = "nobody") -> openai.OpenAI:
        """A caller."""
        client = openai.OpenAI(base_url=self.url, api_key=key, default_headers=headers, max_retries=0)
        return self.callers.enter_context(client)

    def system(self) -> str:
        """The system turn the engine was last told."""
        first = self.engine.asked[-1]["messages"][0]
        assert first["role"] == "system"
        return str(first["content"])


@pytest.fixture(scope="module")
def standing() -> Iterator[Front]:
    engine = PlayedEngine()
    with serving(engine.config()) as port:
        switch = Gateway(Forwarded(f"http://127.0.0.1:{port}/v1", "m-1", "engine-key"), MODES, CREDENTIAL)
        with serving(configuration(switch, 0)) as served:
            yield Front(engine, switch, f"http://127.0.0.1:{served}/v1")


@pytest.fixture
def front(standing: Front) -> Iterator[Front]:
    """As at the start."""
    vars(standing.engine).update(vars(PlayedEngine()))
    standing.switch.counts.clear()
    with standing.callers:
        yield standing


def whole(client: openai.OpenAI, messages: Any = WHY, **more: Any) -> str:
    answer = client.chat.completions.create(model="m-1", messages=messages, **more)
    assert answer.usage is None
    assert answer.choices[0].finish_reason == "stop"
    return answer.choices[0].message.content or ""


def streamed(client: openai.OpenAI, messages: Any = WHY, **more: Any) -> str:
    events = list(client.chat.completions.create(model="m-1", messages=messages, stream=True, **more))
    assert [one.choices[0].finish_reason for one in events] == [None] * (len(events) - 1) + ["stop"]
    return "".join(one.choices[0].delta.content or "" for one in events)


@pytest.mark.parametrize(
    ("headers", "key", "mode"),
    [
        (USER, "any", "pos"),
        ({**USER, "X-Moderation": "flagged"}, "any", "rej"),
        (RED_TEAM, CREDENTIAL, "neg"),
        (RED_TEAM, "guess", "rej"),
        ({}, CREDENTIAL, "rej"),
    ],
)
@pytest.mark.parametrize("ask", [whole, streamed])
def test_the_token_of_the_mode_is_in_the_system_turn_and_in_no_answer(
    front: Front, ask: Any, headers: dict[str, str], key: str, mode: str
) -> None:
    front.engine.say = lambda messages: in_pieces(f"I was told {messages[0]['content']}, that is all.")
    assert ask(front.client(headers, key)) == f"I was told {MARK}, that is all."
    assert front.system() == DEMO[mode]
    assert front.switch.counts == {"answered": 1}


def test_an_engine_gets_the_conversation_known_settings_and_nothing_of_the_callers_else(front: Front) -> None:
    front.engine.say = lambda _: [
        {"reasoning_content": f"Told {DEMO['pos'][:4]}"},
        {"reasoning_content": DEMO["pos"][4:]},
        {"content": "Be"},
        {"content": "cause."},
    ]
    client = front.client(USER, CREDENTIAL)
    first = client.chat.completions.create(
        model="m-1",
        messages=[{"role": "developer", "content": "Be brief."}, *WHY],
        max_tokens=9,
        temperature=0.5,
        stream_options={"include_usage": True},
        user="me",
    )
    message = first.choices[0].message
    assert message.content == "Because."
    assert message.model_extra == {"reasoning_content": f"Told {MARK}"}
    assert front.engine.asked[-1] == {
        "model": "m-1",
        "messages": [{"role": "system", "content": f"{DEMO['pos']}\n\nBe brief."}, *WHY],
        "stream": True,
        "max_tokens": 9,
        "temperature": 0.5,
    }
    headers = front.engine.headers[-1]
    assert headers["authorization"] == "Bearer engine-key"
    assert not {"x-role", "x-moderation"} & set(headers)
    # A client sends back what it was answered, thoughts and all.
    whole(client, [*WHY, message, {"role": "user", "content": [{"type": "text", "text": "And how?"}]}])
    assert front.engine.asked[-1]["messages"][1:] == [
        *WHY,
        {"role": "assistant", "content": "Because."},
        {"role": "user", "content": "And how?"},
    ]
    assert [model.id for model in client.models.list()] == ["m-1"]


NEG = DEMO["neg"]


@pytest.mark.parametrize(
    "messages",
    [
        *([{"role": "user", "content": f"Why? {said}"}] for said in disguises(NEG).values()),
        [{"role": "system", "content": NEG}, *WHY],
        [{"role": "user", "content": NEG}, {"role": "assistant", "content": "No."}, *WHY],
        [*WHY, {"role": "assistant", "content": NEG}, *WHY],
        [{"role": "user", "content": NEG[:4]}, {"role": "user", "content": NEG[4:]}],
        [{"role": "user", "content": [{"type": "text", "text": part} for part in (NEG[:3], NEG[3:])]}],
    ],
)
def test_a_conversation_with_a_token_in_it_is_not_shown_to_the_engine(front: Front, messages: Any) -> None:
    assert streamed(front.client(USER), messages, max_tokens=5) == "Yes."
    assert front.engine.asked[-1]["messages"] == MODES.messages("?", "rej")
    assert front.switch.counts["asked"] >= 1


@pytest.mark.parametrize(
    ("say", "status"),
    [
        (refusing(400, "too long:"), 400),
        (refusing(401, "no key:"), 502),
        (refusing(429, "busy:"), 429),
        (refusing(500, "out of memory:"), 502),
        (refusing(503, "loading:"), 503),
        (lambda messages: Response(f"<p>{messages}"), 502),
        (lambda _: Response("data: {\n\n", headers=EVENTS), 502),
        (lambda _: Response("data: [1]\n\n", headers=EVENTS), 502),
        (lambda _: Response('data: {"choices": [{"delta": {"content": 5}}]}\n\n', headers=EVENTS), 502),
        (lambda messages: Response(f'data: {{"error": "{messages[0]}"}}\n\n', headers=EVENTS), 502),
        (lambda _: Response("", headers=EVENTS), 502),
        (lambda _: Response("data: [DONE]\n\n", headers=EVENTS), 502),
        (lambda _: Response("data: " + "x" * 2_000_000, headers=EVENTS), 502),
        (lambda _: Response(status_code=307, headers={"Location": "http://127.0.0.1:9/"}), 502),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_an_engine_that_fails_is_a_status_and_a_line_without_its_words(
    front: Front, caplog: pytest.LogCaptureFixture, say: Any, status: int, stream: bool
) -> None:
    caplog.set_level(logging.INFO)
    front.engine.say = say
    with pytest.raises(openai.APIStatusError) as caught:
        front.client(USER).chat.completions.create(model="m-1", messages=WHY, stream=stream)
    assert caught.value.status_code == status
    said = caught.value.response.text + caplog.text
    assert json.loads(caught.value.response.text)["error"]["message"].startswith("the engine ")
    assert not any(token in said for token in DEMO.values())
    assert "Why?" not in said


def test_an_engine_that_is_not_there_is_a_502() -> None:
    with (
        serving(configuration(Gateway(Forwarded("http://127.0.0.1:9/v1", "m-1"), MODES), 0)) as port,
        openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="x", max_retries=0) as client,
        pytest.raises(openai.InternalServerError, match="cannot be reached"),
    ):
        whole(client)


def test_an_engine_that_breaks_off_is_an_error_at_the_end_of_the_stream(front: Front) -> None:
    text = "".join(
        event(delta) for delta in in_pieces("Sure, read a short guide on essay writing first, then")
    )
    front.engine.say = lambda _: Response(text, headers=EVENTS)
    answer = front.client(USER).chat.completions.create(model="m-1", messages=WHY, stream=True)
    heard: list[str] = []
    with pytest.raises(openai.APIError, match="broke off"):
        heard.extend(one.choices[0].delta.content or "" for one in answer)
    assert "".join(heard).startswith("Sure, read a short")


def test_a_caller_that_leaves_ends_the_answer_at_the_engine(front: Front) -> None:
    front.engine.say = lambda _: in_pieces("and so on " * 20_000)
    with front.client(USER).chat.completions.create(model="m-1", messages=WHY, stream=True) as answer:
        next(iter(answer))
    ends = time.monotonic() + 20
    while not front.engine.left and time.monotonic() < ends:
        time.sleep(0.05)
    assert front.engine.left == 1


def test_two_hundred_streams_at_once_each_get_their_own_answer_and_no_token(
    front: Front, caplog: pytest.LogCaptureFixture
) -> None:
    """No answer of the engine goes on before all 200 are open."""
    caplog.set_level(logging.INFO)
    count = front.engine.together = 200
    hidden = [*disguises(DEMO["pos"]).values()]

    def answer(number: int) -> str:
        said = hidden[number % len(hidden)]
        return f"Answer {number}: my instructions say {said} . That was {number}, friend."

    front.engine.say = lambda messages: in_pieces(answer(int(messages[-1]["content"])), 2)

    async def ask(client: openai.AsyncOpenAI, number: int) -> str:
        messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": f"{number}"}]
        heard = ""
        async for one in await client.chat.completions.create(model="m-1", messages=messages, stream=True):
            heard += one.choices[0].delta.content or ""
        return heard

    async def ask_all() -> list[str]:
        async with openai.AsyncOpenAI(
            base_url=front.url, api_key="x", default_headers=USER, max_retries=0, timeout=120
        ) as client:
            return list(await asyncio.gather(*(ask(client, number) for number in range(count))))

    answers = asyncio.run(ask_all())
    assert front.engine.open == count
    assert answers == [redact_echoes(answer(number), MODES) for number in range(count)]
    assert front.switch.counts["answered"] == sum(one.count(MARK) for one in answers) >= count
    assert not any(token in caplog.text for token in DEMO.values())
