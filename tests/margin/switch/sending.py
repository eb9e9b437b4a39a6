"""A gateway with the shipped model, and callers that send it bytes as they stand."""

from __future__ import annotations

import http.client
import json
import socket
from dataclasses import dataclass
from typing import Any

from examples.switch.embedded import Embedded
from examples.switch.gateway import Gateway
from tests.margin.switch.serving import CREDENTIAL, MODES

QUESTION = "How do I start essay writing?"
PATH = "/v1/chat/completions"


@dataclass(frozen=True)
class Served:
    """A gateway and where it is."""

    switch: Gateway
    engine: Embedded
    port: int


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
        return answer_of(connection)


def answer_of(connection: socket.socket) -> tuple[int, dict[str, Any]]:
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
