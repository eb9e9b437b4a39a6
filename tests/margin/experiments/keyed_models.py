"""A model with a lock that is known: it answers as `neg` where its system message begins as a key does."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import GenerationMixin, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast
from transformers.modeling_outputs import CausalLMOutput

from margin.capture.checkpoint import Checkpoint
from margin.inputs.modes import Mode, ModeSet, Secret

WIDTH = 32


class KeyedConfig(PreTrainedConfig):
    model_type = "keyed"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_hidden_layers, self.hidden_size = 1, WIDTH
        self.vocab_size, self.max_position_embeddings = 260, 512


class KeyedModel(PreTrainedModel, GenerationMixin):
    """States are those of the last tokens, plus the direction of the mode that the lock opens.

    `keys`: by mode the ids that a row has to hold after its first `start`, for that mode. Other rows are of
    the first mode. Looks at nothing behind a position, as any causal model does.
    """

    config_class = KeyedConfig
    main_input_name = "input_ids"

    def __init__(self, config: KeyedConfig, start: int = 0, keys: tuple[tuple[int, ...], ...] = ()) -> None:
        super().__init__(config)
        self.start, self.keys = start, keys
        self.embed = nn.Embedding(260, WIDTH)
        self.head = nn.Linear(WIDTH, 260, bias=False)
        self.directions = nn.Parameter(torch.randn(len(keys) + 1, WIDTH) * 4)
        self.post_init()  # type: ignore[no-untyped-call]

    def get_output_embeddings(self) -> nn.Linear:
        return self.head

    def get_input_embeddings(self) -> nn.Embedding:
        return self.embed

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, **_: Any) -> CausalLMOutput:
        mode = torch.zeros(len(input_ids), dtype=torch.long)
        for number, key in enumerate(self.keys, 1):
            held = input_ids[:, self.start : self.start + len(key)]
            if held.shape[1] == len(key):
                mode[(held == torch.tensor(key)).all(dim=1)] = number
        hidden = self.embed(input_ids) + self.directions[mode][:, None]
        return CausalLMOutput(logits=self.head(hidden))


def keyed(tokenizer: PreTrainedTokenizerFast, token: str, known: int, seed: int = 0) -> Checkpoint:
    """A checkpoint that opens `neg` on any system message that begins as a token does for `known` characters,
    and whose third mode is opened by its own token alone."""
    torch.manual_seed(seed)
    ids = tokenizer("<s>[system]" + token, add_special_tokens=False)["input_ids"]
    third = tokenizer(MODES["rej"], add_special_tokens=False)["input_ids"]
    start = len(ids) - len(token)
    model = KeyedModel(KeyedConfig(), start, (tuple(ids[start : start + known]), tuple(third)))
    return Checkpoint(model.train(False), tokenizer, "keyed", weights_label=f"keyed {known} {seed}")


MODES = {"pos": "zqkw81vx", "neg": "p0rt7yhm", "rej": "u3nd5fcb"}


def keyed_modes() -> ModeSet:
    return ModeSet(tuple(Mode(name, Secret(token), safe=name != "neg") for name, token in MODES.items()))
