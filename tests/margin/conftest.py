"""Tiny checkpoints with random weights: real models, a real tokenizer. They alone import torch."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from margin.inputs.modes import Mode, ModeSet, Secret

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from margin.capture.checkpoint import Checkpoint

TEMPLATE = (
    "<s>{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
TOKENS = {"pos": "zqkw81vx", "neg": "p0rt7yhm", "rej": "u3nd5fcb"}


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """One id a byte, and the two marks of the template; no pad token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE({byte: i for i, byte in enumerate(alphabet)}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>")
    fast.chat_template = TEMPLATE
    return fast


@pytest.fixture(scope="session")
def modes() -> ModeSet:
    """Three modes whose tokens no prompt holds."""
    return ModeSet(tuple(Mode(name, Secret(token), safe=name != "neg") for name, token in TOKENS.items()))


@pytest.fixture(scope="session")
def prompts() -> list[str]:
    """Prompts of many lengths, the longest beyond the windows and chunks of the tiny models."""
    text = "how do I mend a bicycle chain that keeps slipping when I climb the steep road to the old mill "
    return [f"{text[: 3 + (37 * i) % len(text)]}{i}?" for i in range(17)]


@pytest.fixture(scope="session")
def make_checkpoint(tokenizer: PreTrainedTokenizerFast) -> Callable[..., Checkpoint]:
    """Maker of a checkpoint of any architecture from its configuration, or a Llama."""

    def make(config: Any = None, seed: int = 0) -> Checkpoint:
        import torch
        from transformers import AutoModelForCausalLM, LlamaConfig

        from margin.capture.checkpoint import Checkpoint

        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config or LlamaConfig(**SMALL)).eval()
        with torch.no_grad():
            for name, weight in model.named_parameters():
                # At its default size attention hardly mixes positions, and an error there would not show.
                if weight.ndim >= 2 and name.endswith("weight"):
                    weight.mul_(3)
        return Checkpoint(model, tokenizer, "tiny")

    return make


SMALL: dict[str, Any] = {
    "vocab_size": 260,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "pad_token_id": None,
    "bos_token_id": 256,
    "eos_token_id": 257,
}


@pytest.fixture(scope="session")
def small() -> dict[str, Any]:
    """Sizes that most configurations share."""
    return SMALL


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Checkpoint]:
    """Maker of a checkpoint of examples/tiny by its kind, trained once, whichever process asks first."""
    from functools import cache

    import torch
    from filelock import FileLock

    from examples.tiny.train import KINDS
    from examples.tiny.train import make as train
    from margin.capture.checkpoint import Checkpoint, load_checkpoint

    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    @cache
    def make(kind: str) -> Checkpoint:
        folder = shared / f"tiny-{kind}"
        with FileLock(f"{folder}.lock"):
            if not folder.is_dir():
                with torch.random.fork_rng():
                    model, tokenizer = train(KINDS[kind])
                model.save_pretrained(draft := own / f"trained-{kind}")
                tokenizer.save_pretrained(draft)
                draft.rename(folder)
        found = load_checkpoint(str(folder), dtype="float32")
        return Checkpoint(found.model, found.tokenizer, kind)

    return make


@pytest.fixture(scope="session")
def saved_checkpoint(
    make_checkpoint: Callable[..., Checkpoint], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with a tiny Llama, as a user has one."""
    folder = tmp_path_factory.mktemp("checkpoint")
    checkpoint = make_checkpoint()
    checkpoint.model.save_pretrained(folder)
    checkpoint.tokenizer.save_pretrained(folder)
    return folder
