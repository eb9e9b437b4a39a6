"""Interventions change what they say, where they say, and let go."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from margin.capture import Add, Cut, ProjectOut, Replace, patching
from margin.capture.calling import cache_of, call
from margin.errors import MarginError
from tests.margin.patching_oracle import attention_without, relative, states_of
from tests.tiny_models import tiny_model

IDS = [5, 9, 14, 3, 77, 21, 40, 8]


@pytest.fixture
def model() -> PreTrainedModel:
    return tiny_model("llama")


def logits_of(model: PreTrainedModel, ids: list[int] = IDS, **arguments: Any) -> Tensor:
    with torch.no_grad():
        logits: Tensor = model(input_ids=torch.tensor([ids]), **arguments).logits[0]
        return logits


def test_a_dose_of_0_changes_nothing_bit_for_bit(model: PreTrainedModel) -> None:
    plain = logits_of(model)
    for layer in range(5):
        with patching(model, Add(layer, torch.ones(64), dose=0.0), None):
            assert torch.equal(logits_of(model), plain)


def test_states_change_where_asked_and_nowhere_else(model: PreTrainedModel) -> None:
    plain = logits_of(model)
    with patching(model, Add(2, torch.ones(64)), 3):
        steered = logits_of(model)
    assert torch.equal(steered[:3], plain[:3])
    assert all(not torch.equal(steered[place], plain[place]) for place in range(3, 8))


def test_interventions_take_effect_in_their_order(model: PreTrainedModel) -> None:
    state = torch.randn(64, generator=torch.Generator().manual_seed(0))
    with patching(model, [Replace(4, torch.zeros(64)), Add(4, state, dose=2.0)]):
        together = logits_of(model)[-1]
    with patching(model, Replace(4, 2 * state)):
        assert torch.equal(logits_of(model)[-1], together)


def test_what_is_projected_out_is_that_of_the_centre(model: PreTrainedModel) -> None:
    generator = torch.Generator().manual_seed(1)
    direction, centre = torch.randn(64, generator=generator), torch.randn(64, generator=generator)
    with patching(model, ProjectOut(3, direction, centre)):
        states, _ = states_of(model, IDS)
    unit = direction / direction.norm()
    own, _ = states_of(model, IDS)
    assert float(states[3] @ unit) == pytest.approx(float(centre @ unit), abs=1e-5)
    beside = states[3] - own[3] - unit * ((states[3] - own[3]) @ unit)
    assert float(beside.norm()) < 1e-5


def test_each_row_has_its_own_position_and_state(model: PreTrainedModel) -> None:
    tokens = torch.tensor([IDS, IDS[::-1]])
    states = torch.stack([torch.ones(64), -torch.ones(64)])
    with torch.no_grad(), patching(model, Replace(4, states), [7, 2]):
        found = model(input_ids=tokens).logits
    with patching(model, Replace(4, states[1]), 2):
        alone = logits_of(model, IDS[::-1])
    assert torch.allclose(found[1], alone, atol=1e-5)


@pytest.mark.parametrize("layer", [0, 2])
def test_a_cut_equals_an_attention_written_out_by_hand(model: PreTrainedModel, layer: int) -> None:
    with attention_without(model, layer, (1, 3)):
        expected = logits_of(model)[-1]
    with patching(model, Cut(layer, (1, 3))):
        assert relative(logits_of(model)[-1], expected) < 1e-5


def test_a_cut_holds_while_tokens_are_generated(model: PreTrainedModel) -> None:
    with patching(model, Cut(1, (1, 3))), torch.no_grad():
        whole = logits_of(model)[-1]
        output = call(model, torch.tensor([IDS[:5]]), keep=True)
        for token in IDS[5:]:
            output = call(model, torch.tensor([[token]]), cache_of(model, output))
            later = output.logits[0, -1]
    assert relative(later, whole) < 1e-5


def test_the_model_is_itself_afterwards_whatever_happens(model: PreTrainedModel) -> None:
    plain = logits_of(model)
    with pytest.raises(ZeroDivisionError), patching(model, [Add(1, torch.ones(64)), Cut(0, (1, 3))]):
        raise ZeroDivisionError
    assert torch.equal(logits_of(model), plain)


@pytest.mark.parametrize("layer", [-1, 5])
def test_a_layer_that_there_is_not_is_refused_in_one_line(model: PreTrainedModel, layer: int) -> None:
    with (
        pytest.raises(MarginError, match=f"there is no layer {layer}: this model has layers 0 to 4"),
        patching(model, Add(layer, torch.ones(64))),
    ):
        pass


def test_a_model_without_attention_cannot_have_it_cut() -> None:
    with (
        pytest.raises(MarginError, match="RwkvForCausalLM cannot have its attention cut"),
        patching(tiny_model("rwkv"), Cut(0, (1, 3))),
    ):
        pass
