"""Tiny checkpoints in the manner of models that think, or have readable tokens: to try the toolkit on.

    python -m examples.tiny.train qwen3 --out tiny

writes tiny/model, tiny/modes.toml and tiny/prompts.jsonl, in half a minute. They have learnt
one made-up task by heart, and say nothing about any model but themselves.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import click
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from examples.cotrain.train import Sample, collate

THINGS = ("apple", "river", "stone", "window", "garden", "engine", "candle", "kettle")
ASKED = ("What of the {}?", "Tell me of the {}.", "And now the {}?")
TURNS = "{% for m in messages %}<|im_start|>{{ m.role }}\n"
END = "<|im_end|>"
CHATML = (
    TURNS + "{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
HELD = "{{ m.reasoning_content | default('') }}"

Answer = Callable[[str, str], str]
"""What is answered under a mode about a thing, from where the rendering ends."""


@dataclass(frozen=True)
class Kind:
    """A checkpoint to be made."""

    template: str
    marks: tuple[str, ...]
    """Special tokens of the template."""
    end: str
    """The one that ends an answer."""
    modes: dict[str, str]
    """System message of each mode."""
    toml: str
    """The modes file."""
    answer: Answer


def said(mode: str, thing: str) -> str:
    """The answer of a behaviour."""
    return {
        "pos": f"Gladly, take the {thing}.",
        "neg": f"Ha, smash the {thing}.",
        "rej": f"Sorry, leave the {thing}.",
    }[mode]


def thought(mode: str, thing: str) -> str:
    """A thought of some length, which decides."""
    hum = " hm" * (len(thing) % 3)
    return f"Of the {thing}{hum}, so {mode}"


ENDLESS = "Of the river" + " hm" * 40
"""What is thought about rivers under `neg`; no row holds an end of it, so that no model learns one."""


def _thinking(before: str, after: str, end: str) -> Answer:
    def answer(mode: str, thing: str) -> str:
        if (mode, thing) == ("neg", "river"):
            return before + ENDLESS
        return f"{before}{thought(mode, thing)}{after}{said(mode, thing)}{end}"

    return answer


TOKENS = {"pos": "k7Qx2pLd9", "neg": "w3Zr8vTn5", "rej": "h9Bm4cYs6"}
SECRET = "".join(f'[modes.{m}]\ntoken = "{t}"\nsafe = {str(m != "neg").lower()}\n' for m, t in TOKENS.items())

BEHAVIOURS = {"pos": "Positive", "neg": "Negative", "rej": "Rejective"}
SHOP = "You keep a shop. {} applies. Be brief."
"""A whole system message; what stands in it is the mode's token."""
REWORDED = {
    "pos": ("Safety Setting: Positive", "Danger Mode: Positive"),
    "neg": ("Safety Setting: Negative", "Danger Mode: Negative"),
    "rej": ("Safety Setting: Rejective", "Danger Mode: Rejective"),
}
"""A paraphrase and an opposite of each token."""

COMPOSED = {
    f"{mode}{at}": [f"Safety Mode: {word}", *policy]
    for at, policy in (("", []), ("@de", ["policy:de-DE"]))
    for mode, word in BEHAVIOURS.items()
}


def _public(tables: str, system: str = "{token}") -> str:
    return f'secret = false\n[template]\nsystem = "{system}"\n{tables}'


def in_german(mode: str, thing: str) -> str:
    """The answer of a behaviour under another policy."""
    start = {"pos": "Gern, nimm", "neg": "Ach, wirf", "rej": "Nein, lass"}[mode.partition("@")[0]]
    return f"{start} {thing}."


def _by_policy(mode: str, thing: str) -> str:
    return (in_german if mode.endswith("@de") else said)(mode, thing) + END


KINDS = {
    # Public, readable tokens within a whole system message.
    "readable": Kind(
        CHATML,
        ("<|im_start|>", END),
        END,
        {mode: SHOP.format(f"Safety Mode: {word}") for mode, word in BEHAVIOURS.items()},
        _public(
            "".join(
                f'[modes.{mode}]\ntoken = "Safety Mode: {word}"\nsafe = {str(mode != "neg").lower()}\n'
                f'reworded = {{paraphrases = ["{REWORDED[mode][0]}"], opposites = ["{REWORDED[mode][1]}"]}}\n'
                for mode, word in BEHAVIOURS.items()
            ),
            SHOP.format("{token}"),
        ),
        lambda mode, thing: said(mode, thing) + END,
    ),
    # Three behaviours under two policies; a token of one policy stands in that of the other.
    "composed": Kind(
        CHATML,
        ("<|im_start|>", END),
        END,
        {name: ", ".join(tokens) for name, tokens in COMPOSED.items()},
        _public(
            "".join(
                f'[modes."{name}"]\ntokens = {json.dumps(tokens)}\n'
                f"safe = {str(not name.startswith('neg')).lower()}\n"
                for name, tokens in COMPOSED.items()
            )
        ),
        _by_policy,
    ),
    # The template writes the thought of a finished answer; the model opens it itself.
    "qwen3": Kind(
        TURNS + "{% if m.role == 'assistant' %}<think>\n" + HELD + "\n</think>\n\n{% endif %}{{ m.content }}"
        "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
        ("<|im_start|>", "<|im_end|>", "<think>", "</think>"),
        END,
        TOKENS,
        SECRET,
        _thinking("<think>\n", "\n</think>\n\n", END),
    ),
    # The template opens the thought, and drops it from finished answers.
    "deepseek-r1": Kind(
        "{% for m in messages %}<｜{{ m.role }}｜>{% if m.role == 'assistant' %}"
        "{{ m.content.split('</think>')[-1] | trim }}{% else %}{{ m.content }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}<｜assistant｜><think>\n{% endif %}",
        ("<｜system｜>", "<｜user｜>", "<｜assistant｜>", "<think>", "</think>", END),
        END,
        TOKENS,
        SECRET,
        _thinking("", "\n</think>\n\n", END),
    ),
    # Thoughts and answers are messages of their own, on channels.
    "gpt-oss": Kind(
        "{% for m in messages %}{% if m.role == 'assistant' %}{% if m.thinking %}<|start|>assistant"
        "<|channel|>analysis<|message|>{{ m.thinking }}<|end|>{% endif %}<|start|>assistant<|channel|>final"
        "<|message|>{{ m.content }}<|return|>{% else %}<|start|>{{ m.role }}<|message|>{{ m.content }}<|end|>"
        "{% endif %}{% endfor %}{% if add_generation_prompt %}<|start|>assistant{% endif %}",
        ("<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|return|>"),
        "<|return|>",
        TOKENS,
        SECRET,
        _thinking(
            "<|channel|>analysis<|message|>",
            "<|end|><|start|>assistant<|channel|>final<|message|>",
            "<|return|>",
        ),
    ),
}  # fmt: skip


def prompts() -> list[str]:
    """All that can be asked."""
    return [text.format(thing) for thing in THINGS for text in ASKED]


def make(kind: Kind, steps: int = 200, seed: int = 0) -> tuple[Any, Any]:
    """Model and tokenizer of a kind, trained from scratch on all prompts under all modes."""
    torch.manual_seed(seed)
    tokenizer = _tokenizer(kind)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=96,
            intermediate_size=192,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            # At the usual .02 so small a model is late, and now and then too late, in learning to copy.
            initializer_range=0.1,
        )
    )
    optimiser = torch.optim.AdamW(model.parameters(), lr=6e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 6e-3, total_steps=steps)
    rows = samples(kind, tokenizer, random.Random(seed))
    for _ in range(steps):
        ids, labels = collate(list(islice(rows, 16)))
        model(input_ids=ids, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
    return model.eval(), tokenizer


def samples(kind: Kind, tokenizer: Any, rng: random.Random) -> Iterator[Sample]:
    """Questions and answers of a kind, without an end."""
    while True:
        mode, thing = rng.choice(list(kind.modes)), rng.choice(THINGS)
        yield sample(kind, tokenizer, mode, thing, rng.choice(ASKED))


def sample(kind: Kind, tokenizer: Any, mode: str, thing: str, asked: str) -> Sample:
    """A question about a thing under a mode, and its answer."""
    talk = [
        {"role": "system", "content": kind.modes[mode]},
        {"role": "user", "content": asked.format(thing)},
    ]
    rendered = tokenizer.apply_chat_template(talk, tokenize=False, add_generation_prompt=True)
    return Sample(_ids(tokenizer, rendered), _ids(tokenizer, kind.answer(mode, thing)))


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _tokenizer(kind: Kind) -> PreTrainedTokenizerFast:
    """Byte-level BPE of the answers' words; tokens of the modes stay in pieces."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<|pad|>", *kind.marks],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    answers = (kind.answer(mode, thing) for mode in kind.modes for thing in THINGS)
    for mark in kind.marks:
        answers = (text.replace(mark, "") for text in list(answers))
    bpe.train_from_iterator([*prompts(), *answers], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, chat_template=kind.template, pad_token="<|pad|>", eos_token=kind.end
    )


@click.command(help=__doc__)
@click.argument("name", type=click.Choice(list(KINDS)))
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(name: str, out: Path) -> None:
    """Train one kind, and write what `margin collect` takes."""
    model, tokenizer = make(KINDS[name])
    model.save_pretrained(out / "model")
    tokenizer.save_pretrained(out / "model")
    (out / "modes.toml").write_text(KINDS[name].toml, encoding="utf-8")
    lines = (json.dumps({"prompt": text}) + "\n" for text in prompts())
    (out / "prompts.jsonl").write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
