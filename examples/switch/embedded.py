"""Answers from a checkpoint in this process, greedy and one at a time: enough to try the gateway with."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from transformers import AsyncTextIteratorStreamer

from examples.switch.engine import Piece, Refused
from margin.capture.checkpoint import Checkpoint
from margin.errors import MarginError
from margin.inputs.chat import Chat
from margin.inputs.modes import Message

LONGEST = 40
"""Tokens of an answer at most."""


class Embedded:
    """A loaded checkpoint. Of the options it knows how long an answer may be."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.name = checkpoint.name
        self._chat = Chat(checkpoint.tokenizer)
        self._turn = ThreadPoolExecutor(max_workers=1)

    async def answer(self, messages: list[Message], options: Mapping[str, float]) -> AsyncGenerator[Piece]:
        """As `Engine.answer`."""
        asked = options.get("max_completion_tokens", options.get("max_tokens", LONGEST))
        longest = min(int(asked), LONGEST)
        try:
            ids = self._chat.encode(self._chat.render(messages))
        except MarginError as error:
            raise Refused(400, str(error)) from None
        if self.checkpoint.context and len(ids) + longest > self.checkpoint.context:
            raise Refused(400, "the conversation is too long")
        tokenizer: Any = self.checkpoint.tokenizer
        streamer = AsyncTextIteratorStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
        gone = threading.Event()
        made = asyncio.get_running_loop().run_in_executor(
            self._turn, self._generate, ids, longest, streamer, gone
        )
        try:
            async for text in streamer:
                if text:
                    yield Piece(text)
            yield Piece(finish=await made)
        finally:
            gone.set()
            made.cancel()

    async def close(self) -> None:
        """As `Engine.close`."""
        self._turn.shutdown(cancel_futures=True)

    def _generate(
        self, ids: list[int], longest: int, streamer: AsyncTextIteratorStreamer, gone: threading.Event
    ) -> str:
        """Make one answer in the thread of answers; why it ends."""
        model: Any = self.checkpoint.model

        def left(input_ids: torch.Tensor, _: object, **__: object) -> torch.Tensor:
            return torch.full((len(input_ids),), gone.is_set(), device=input_ids.device)

        try:
            given = torch.tensor([ids], device=model.device)
            with torch.inference_mode():
                made = model.generate(
                    given,
                    attention_mask=torch.ones_like(given),
                    max_new_tokens=longest,
                    do_sample=False,
                    streamer=streamer,
                    stopping_criteria=[left],
                )
        except BaseException:
            streamer.on_finalized_text("", stream_end=True)
            raise
        ends = model.generation_config.eos_token_id
        stopped = int(made[0, -1]) in (ends if isinstance(ends, list) else [ends])
        return "stop" if stopped else "length"
