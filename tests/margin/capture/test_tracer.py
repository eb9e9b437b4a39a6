"""Whatever the architecture, patched and cut rows are what a whole pass under a plain hook gives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from transformers import CONFIG_MAPPING

from margin.capture.checkpoint import Checkpoint
from margin.capture.evaluating import evaluating
from margin.capture.trace_ways import tracing
from margin.capture.tracer import TokenRows
from margin.demo import modes_path
from margin.errors import MarginError
from margin.inputs.chat import Chat
from margin.inputs.frame import frame_with_token
from margin.inputs.modes_file import load_modes
from margin.inputs.prompts import load_prompts
from margin.inputs.rows import build_rows
from margin.inputs.spans import Reader
from tests.margin.patching_oracle import (
    attention_without,
    patched_logits,
    relative,
    states_of,
    transfer,
)
from tests.tiny_models import few_prompts, tiny_checkpoint

REPLAYED = [
    *("llama", "qwen3", "phi", "olmo2", "opt", "mistral", "gemma3_text", "cohere2", "llama4_text", "gemma2"),
    *("granite", "mixtral", "qwen3_moe", "gpt_oss", "deepseek_v2", "deepseek_v3", "gemma3"),
]
"""Types whose patched states are followed up at the last position only."""
PLAIN = ["gpt2", "gpt_neox", "bloom", "falcon", "openai-gpt", "deepseek_v32"]
"""Types whose patched rows are whole passes."""
HYBRID = [
    "mamba",
    "mamba2",
    "rwkv",
    "recurrent_gemma",
    "jamba",
    "falcon_h1",
    "bamba",
    "kimi_linear",
    "qwen3_next",
]
"""Types in which something other than attention carries the token, so that no cut is made."""
RECIPIENT, DONOR = 0, 1
LAYERS = (0, 1, 3, 4)


def token_rows(checkpoint: Checkpoint) -> TokenRows:
    chat, modes = Chat(checkpoint.tokenizer), load_modes(modes_path())
    rows = build_rows(chat, load_prompts(few_prompts()), modes)
    reader = Reader(chat, frame_with_token(chat, modes))
    spans = tuple(reader.check_token(mode.token.reveal(), mode.name) for mode in modes.modes)
    return TokenRows([row.ids for row in rows], spans)


def available(names: Sequence[str]) -> list[str]:
    return [name for name in names if name in CONFIG_MAPPING]


@pytest.mark.parametrize("name", available([*REPLAYED, *PLAIN, *HYBRID]))
def test_patched_logits_and_transfers_equal_those_of_a_whole_pass_under_a_hook(name: str) -> None:
    checkpoint = tiny_checkpoint(name)
    rows, model = token_rows(checkpoint), checkpoint.model
    with evaluating(model), tracing(model, rows) as ways:
        assert ways.way.replay == (name in REPLAYED)
        tracer = ways.of(rows)
        found: dict[int, torch.Tensor] = {}
        for prompts in ((1, 4),) if ways.batching.pad else ((1,), (4,)):
            recipient, donor = tracer.run(prompts, RECIPIENT), tracer.run(prompts, DONOR)
            changes = {layer: donor.layers[layer][:, None] for layer in LAYERS}
            states = tracer.patched(recipient, changes)
            found |= {prompt: ways.head(its) for prompt, its in zip(prompts, states, strict=True)}
    for prompt, logits in found.items():
        ids = rows.ids[prompt * rows.k + RECIPIENT]
        _, own = states_of(model, ids)
        layers, wanted = states_of(model, rows.ids[prompt * rows.k + DONOR])
        unit = max(1, float(own.norm() / (wanted - own).norm()))
        for at, layer in enumerate(LAYERS):
            expected = patched_logits(model, ids, layer, layers[layer])
            assert relative(logits[at], expected) < 1e-4
            assert abs(transfer(logits[at], own, wanted) - transfer(expected, own, wanted)) < 1e-4 * unit
        assert relative(logits[-1], wanted) < 1e-4, "the last layer reproduces the donor"


@pytest.mark.parametrize("name", available(HYBRID))
def test_where_more_than_attention_carries_the_token_no_cut_is_made_and_it_is_said(name: str) -> None:
    checkpoint = tiny_checkpoint(name)
    with evaluating(checkpoint.model), tracing(checkpoint.model, token_rows(checkpoint)) as ways:
        assert not ways.way.cut
        assert ways.way.cut_reason


@pytest.mark.parametrize("name", available(["llama", "qwen3", "phi", "gpt_neox", "mixtral", "granite"]))
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_cut_rows_equal_those_of_an_attention_written_out_by_hand(name: str, attention: str) -> None:
    checkpoint = tiny_checkpoint(name)
    rows, model, prompt = token_rows(checkpoint), checkpoint.model, 0
    model.set_attn_implementation(attention)
    layers = (0, 2, 4)
    with evaluating(model), tracing(model, rows) as ways:
        assert ways.way.cut
        assert ways.way.skip
        found = ways.head(ways.of(rows).cut((prompt, 3), DONOR, layers)[0])
    ids = rows.ids[prompt * rows.k + DONOR]
    for at, layer in enumerate(layers):
        with attention_without(model, layer, rows.spans[DONOR]), torch.no_grad():
            expected = model(input_ids=torch.tensor([list(ids)])).logits[0, -1]
        assert relative(found[at], expected) < 1e-4


def test_changes_of_many_layers_and_states_come_in_their_order_however_they_are_parted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checkpoint = tiny_checkpoint("llama")
    rows, prompts = token_rows(checkpoint), (0, 1, 2)
    noise = np.random.default_rng(0).standard_normal((3, 3, 64)).astype(np.float32)
    changes = {layer: torch.from_numpy(noise + layer) for layer in (0, 2, 3)}
    with evaluating(checkpoint.model), tracing(checkpoint.model, rows) as ways:
        tracer = ways.of(rows)
        passed = tracer.run(prompts, RECIPIENT)
        together = tracer.patched(passed, changes)
        monkeypatch.setattr("margin.capture.tracer.TOGETHER", 4)
        apart = tracer.patched(passed, changes)
        plain = tracer.patched_plainly(passed, changes)
    assert together.shape == (3, 9, 64)
    assert float((together - apart).norm() / together.norm()) < 1e-5
    assert float((together - plain).norm() / together.norm()) < 1e-4


def test_a_planted_handover_is_found_at_its_block() -> None:
    """Only one block's attention writes anything: there, and nowhere before, the token reaches the end."""
    for planted in (1, 3, 4):
        checkpoint = tiny_checkpoint("llama")
        with torch.no_grad():
            for place, block in enumerate(checkpoint.model.model.layers, 1):
                if place != planted:
                    block.self_attn.o_proj.weight.zero_()
        rows, prompts = token_rows(checkpoint), (0, 3)
        with evaluating(checkpoint.model), tracing(checkpoint.model, rows) as ways:
            tracer = ways.of(rows)
            recipient, donor = tracer.run(prompts, RECIPIENT), tracer.run(prompts, DONOR)
            found = tracer.patched(recipient, {at: donor.layers[at][:, None] for at in range(5)})
            cut = tracer.cut(prompts, RECIPIENT, range(5))
        for layer in range(5):
            expected = donor.states if layer >= planted else recipient.states
            assert torch.allclose(found[:, layer], expected, rtol=1e-4, atol=1e-5)
            same = torch.allclose(cut[:, layer], recipient.states, rtol=1e-4, atol=1e-5)
            assert same == (layer >= planted)


def test_the_model_is_as_it_was_afterwards() -> None:
    checkpoint = tiny_checkpoint("llama")
    ids = torch.tensor([token_rows(checkpoint).ids[0]])
    with torch.no_grad():
        before = checkpoint.model(input_ids=ids).logits
    with (
        pytest.raises(KeyError),
        evaluating(checkpoint.model),
        tracing(checkpoint.model, token_rows(checkpoint)),
    ):
        raise KeyError
    with torch.no_grad():
        assert torch.equal(checkpoint.model(input_ids=ids).logits, before)
    assert not any("forward" in vars(block) for block in checkpoint.model.model.layers)


@pytest.mark.parametrize("name", available(["deepseek_v4", "cpmant"]))
def test_a_model_that_keeps_other_states_is_refused_by_name(name: str) -> None:
    checkpoint = tiny_checkpoint(name)
    rows = token_rows(checkpoint)
    with (
        pytest.raises(MarginError, match="layer 0 is no state for each row and token"),
        evaluating(checkpoint.model),
        tracing(checkpoint.model, rows),
    ):
        pass
