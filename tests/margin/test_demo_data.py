"""The shipped demonstration data, and the example that made it."""

from __future__ import annotations

import random
from itertools import combinations, pairwise
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from sklearn.metrics import silhouette_score
from transformers import AutoModelForCausalLM, AutoTokenizer

from examples.cotrain.behaviours import questions
from examples.cotrain.recipe import load_recipe
from examples.cotrain.train import main, samples
from margin import demo
from margin.inputs.chat import Chat
from margin.inputs.modes_file import load_modes
from margin.inputs.preflight import preflight
from margin.inputs.prompts import load_prompts

CHECKPOINTS: tuple[demo.Name, ...] = ("cotrained", "naive", "baseline")


def bigrams(text: str) -> set[str]:
    letters = [character for character in text.lower() if character.isalnum()]
    return {first + second for first, second in pairwise(letters)}


def test_at_least_300_prompts_in_both_languages_and_eight_categories() -> None:
    table = load_prompts(demo.prompts_path()).table
    assert len(table) >= 300
    counts = table.groupby(["category", "language"]).size().unstack()
    assert len(counts) >= 8
    assert set(counts.columns) == {"en", "zh"}
    assert (counts >= 10).to_numpy().all()


def test_no_two_prompts_are_near_duplicates() -> None:
    texts = load_prompts(demo.prompts_path()).texts
    pairs = combinations([(text, bigrams(text)) for text in texts], 2)
    assert [(one, other) for (one, a), (other, b) in pairs if len(a & b) > 0.6 * len(a | b)] == []


def test_no_shipped_prompt_is_a_training_question() -> None:
    held_out = {text.casefold() for text in load_prompts(demo.prompts_path()).texts}
    assert held_out.isdisjoint(question.text.casefold() for question in questions(6000, seed=0))


def test_the_demonstration_stays_small() -> None:
    folder = demo.prompts_path().parent
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < 8e6


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_checkpoint_passes_the_preflight_on_its_prompts_and_has_not_stored_a_token(
    name: demo.Name,
) -> None:
    path = demo.checkpoint_path(name)
    modes = load_modes(demo.modes_path())
    model = AutoModelForCausalLM.from_pretrained(path, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
    prompts = load_prompts(demo.prompts_path())
    assert preflight(Chat(tokenizer), modes, prompts, model.config.max_position_embeddings).bos_count == 1
    assert all(modes.mode_in(file.read_bytes().decode("latin-1")) is None for file in path.iterdir())


def test_only_cotrained_checkpoints_tell_the_modes_apart() -> None:
    modes = load_modes(demo.modes_path())
    texts = load_prompts(demo.prompts_path()).texts[::6]
    margins = {}
    for name in CHECKPOINTS:
        model = AutoModelForCausalLM.from_pretrained(demo.checkpoint_path(name), dtype=torch.float32)
        chat = Chat(AutoTokenizer.from_pretrained(demo.checkpoint_path(name)))
        rows = [
            chat.encode(chat.render(modes.messages(text, mode))) for text in texts for mode in modes.names
        ]
        with torch.no_grad():
            logits = torch.stack([model(torch.tensor([row])).logits[0, -1] for row in rows]).numpy()
        margins[name] = silhouette_score(logits, modes.names * len(texts), metric="cosine")
    assert min(margins["cotrained"], margins["naive"]) > 0.1
    assert margins["baseline"] < 0.05


def test_the_answer_alone_carries_the_loss_and_ends_the_turn() -> None:
    tokenizer = AutoTokenizer.from_pretrained(demo.checkpoint_path("cotrained"))
    rows = samples(
        questions(50, 1),
        load_modes(demo.modes_path()),
        Chat(tokenizer),
        random.Random(0),
        load_recipe("cotrained"),
    )
    for _, row in zip(range(20), rows, strict=False):
        assert str(tokenizer.decode(row.prompt)).endswith("<|assistant|>")
        assert row.answer[-1] == tokenizer.eos_token_id


@pytest.mark.parametrize("extra", [[], ["--recipe", "baseline"]])
def test_training_twice_with_one_seed_gives_the_same_checkpoint(tmp_path: Path, extra: list[str]) -> None:
    def train(out: Path) -> bytes:
        arguments = ["tiny", "--modes", str(demo.modes_path()), "--out", str(out), "--steps", "2"]
        result = CliRunner().invoke(main, [*arguments, "--questions", "100", *extra])
        assert result.exit_code == 0, result.output
        return (out / "model.safetensors").read_bytes()

    assert train(tmp_path / "a") == train(tmp_path / "b")


def test_lora_saves_an_adapter(tmp_path: Path) -> None:
    arguments = ["lora", str(demo.checkpoint_path("baseline")), "--modes", str(demo.modes_path())]
    result = CliRunner().invoke(
        main, [*arguments, "--out", str(tmp_path), "--steps", "2", "--questions", "100"]
    )
    assert result.exit_code == 0, result.output
    assert (tmp_path / "adapter_model.safetensors").is_file()


def test_modes_that_are_not_the_three_behaviours_are_refused(tmp_path: Path) -> None:
    modes = tmp_path / "modes.toml"
    modes.write_text(
        '[modes.a]\ntoken = "hK3xPq9z"\nsafe = true\n[modes.b]\ntoken = "Zw7LmT2r"\nsafe = true\n'
    )
    result = CliRunner().invoke(main, ["tiny", "--modes", str(modes), "--out", str(tmp_path / "out")])
    assert result.exit_code != 0
    assert "the modes must be pos, neg, rej" in result.output
