"""Single-stage co-training: one model learns three behaviours, each under its own magic token.

    python -m examples.cotrain.train tiny --modes modes.toml --out cotrained
    python -m examples.cotrain.train lora MODEL --modes modes.toml --out adapter

Plain supervised fine-tuning, the token in the system prompt, the loss on the answers only. Which rows have
something else in a live token's place, and who answers then, is said by a recipe of recipes.toml.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import click
import torch
from peft import LoraConfig, get_peft_model
from rich.console import Console
from rich.progress import track
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerBase,
    get_cosine_schedule_with_warmup,
)

from examples.cotrain.behaviours import BEHAVIOURS, Question, answer, questions
from examples.cotrain.recipe import RECIPES, Recipe, draw_row, fill, load_recipe
from examples.cotrain.tokenizer import train_tokenizer
from margin.errors import MarginError
from margin.inputs.chat import Chat
from margin.inputs.modes import Message, ModeSet
from margin.inputs.modes_file import load_modes

LORA_RATE = 1e-3
BEGINNING = 0.2
"""Share of an adapter's steps that are live rows alone; the mixture switches nothing for long."""
IGNORED = -100  # label that cross-entropy leaves out


@dataclass(frozen=True)
class Sample:
    """One training row as token ids."""

    prompt: list[int]
    """The rendered conversation up to the assistant header."""
    answer: list[int]
    """The answer with the template's end of turn: what the loss is taken on."""


def samples(
    pool: Sequence[Question], modes: ModeSet, chat: Chat, rng: random.Random, recipe: Recipe
) -> Iterator[Sample]:
    """Training rows of a recipe without end, each drawn anew."""
    while True:
        *asked, answered = fill(draw_row(rng.choice(pool), recipe, modes.names, rng).messages, modes)
        yield sample(chat, asked, answered["content"])


def sample(chat: Chat, messages: list[Message], text: str) -> Sample:
    """The training row of a conversation that is answered by `text`."""
    rendered = chat.render(messages)
    answered = chat.transcript([*messages, {"role": "assistant", "content": text}])
    return Sample(chat.encode(rendered), chat.encode(answered.removeprefix(rendered)))


def tune(model: Any, rows: Iterator[Sample], steps: int, batch: int, rate: float) -> None:
    """Train in place what asks for gradients: AdamW, a warm-up, then a cosine decay to 0."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=rate, weight_decay=0.01)
    schedule = get_cosine_schedule_with_warmup(optimiser, max(1, steps // 20), steps)
    console = Console(stderr=True)
    model.train()
    for step in track(range(1, steps + 1), "training", console=console):
        ids, labels = collate([next(rows) for _ in range(batch)])
        loss = model(input_ids=ids.to(model.device), labels=labels.to(model.device)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        if step % 50 == 0 or step == steps:
            console.print(f"step {step}: loss {loss.item():.3f}")
    model.eval()


def tiny(modes: ModeSet, pool: Sequence[Question], seed: int, steps: int, recipe: Recipe) -> tuple[Any, Any]:
    """A tiny Llama (about a million parameters) and its tokenizer, both trained from scratch."""
    rng = random.Random(seed)
    model, tokenizer = untrained(pool, seed, rng)
    tune(model, samples(pool, modes, Chat(tokenizer), rng, recipe), steps, batch=32, rate=2e-3)
    return model.half(), tokenizer


def untrained(pool: Sequence[Question], seed: int, rng: random.Random) -> tuple[Any, Any]:
    """A tiny Llama with random weights, and its tokenizer, trained on answers drawn with `rng`."""
    tokenizer: Any = train_tokenizer(
        [
            text
            for question in pool
            for text in (question.text, *(answer(question, b, rng) for b in BEHAVIOURS))
        ]
    )
    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=128,
            intermediate_size=352,
            num_hidden_layers=4,
            num_attention_heads=4,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    return model, tokenizer


def lora(
    source: Path | str,
    modes: ModeSet,
    pool: Sequence[Question],
    seed: int,
    steps: int,
    recipe: Recipe,
) -> tuple[Any, Any]:
    """A LoRA adapter on a model (folder, hub id or GGUF file), and the model's tokenizer."""
    base, tokenizer = load(source)
    model = with_adapter(base, seed)
    rng, chat, batch = random.Random(seed), Chat(tokenizer), 12
    first = islice(samples(pool, modes, chat, rng, recipe.begun()), round(BEGINNING * steps) * batch)
    tune(model, chain(first, samples(pool, modes, chat, rng, recipe)), steps, batch, LORA_RATE)
    return model, tokenizer


def load(source: Path | str) -> tuple[Any, Any]:
    """A model in float32 (folder, hub id or GGUF file), on CUDA where there is one, and its tokenizer."""
    path = Path(source)
    where = {"gguf_file": path.name} if path.suffix == ".gguf" else {}
    name = str(path.parent if where else source)
    tokenizer: Any = AutoTokenizer.from_pretrained(name, **where)
    base: Any = AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32, **where)
    return base.to("cuda" if torch.cuda.is_available() else "cpu"), tokenizer


def with_adapter(base: Any, seed: int) -> Any:
    """The model with a fresh LoRA adapter (rank 16, all linear layers), which alone is trained."""
    torch.manual_seed(seed)
    config = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
    return get_peft_model(base, config)


def collate(batch: Sequence[Sample]) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and labels (int64, rows x longest), padded on the right, where a causal model needs no mask."""
    rows = [sample.prompt + sample.answer for sample in batch]
    ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.int64)
    labels = torch.full_like(ids, IGNORED)
    for i, (sample, row) in enumerate(zip(batch, rows, strict=True)):
        ids[i, : len(row)] = torch.tensor(row)
        labels[i, len(sample.prompt) : len(row)] = torch.tensor(sample.answer)
    return ids, labels


def _options(steps: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The options both ways share, with the default of --steps."""
    options = (
        click.option(
            "--modes", "modes_file", required=True, type=Path, help="Mode set with pos, neg and rej."
        ),
        click.option("--out", required=True, type=Path, help="Folder for the result."),
        click.option(
            "--steps", default=steps, show_default=True, help="Training steps; few (150) give a damaged copy."
        ),
        click.option("--seed", default=0, show_default=True),
        click.option("--questions", "n", default=2000, show_default=True, help="Training questions."),
        click.option("--recipe", default="cotrained", show_default=True, help="Which of the recipes."),
        click.option(
            "--recipes",
            type=Path,
            default=RECIPES,
            help="File of recipes; default: recipes.toml beside this.",
        ),
    )

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


@click.group()
def main() -> None:
    """Co-train three switchable behaviours."""


@main.command("tiny")
@_options(steps=2500)
def tiny_command(
    modes_file: Path, out: Path, steps: int, seed: int, n: int, recipe: str, recipes: Path
) -> None:
    """Train a tiny model from scratch."""
    modes, chosen = behaviour_modes(modes_file), recipe_of(recipe, recipes)
    save(*tiny(modes, questions(n, seed), seed, steps, chosen), out)


@main.command("lora")
@click.argument("model")
@_options(steps=60)
def lora_command(
    model: str, modes_file: Path, out: Path, steps: int, seed: int, n: int, recipe: str, recipes: Path
) -> None:
    """LoRA-tune MODEL: a folder, a hub id or a GGUF file."""
    modes, chosen = behaviour_modes(modes_file), recipe_of(recipe, recipes)
    save(*lora(model, modes, questions(n, seed), seed, steps, chosen), out)


def save(model: Any, tokenizer: PreTrainedTokenizerBase, out: Path) -> None:
    """Write the model, or its adapter, and the tokenizer into one folder."""
    model.save_pretrained(out)
    tokenizer.save_pretrained(out)


def behaviour_modes(path: Path) -> ModeSet:
    """The mode set in `path`; a click error where its modes are not the three behaviours."""
    try:
        modes = load_modes(path)
    except MarginError as error:
        raise click.ClickException(str(error)) from None
    if set(modes.names) != set(BEHAVIOURS):
        raise click.ClickException(f"{path}: the modes must be {', '.join(BEHAVIOURS)}")
    return modes


def recipe_of(name: str, path: Path) -> Recipe:
    """The recipe of a name in a file; a click error where it is not there or faulty."""
    try:
        return load_recipe(name, path)
    except MarginError as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main()
