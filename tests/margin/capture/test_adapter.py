"""An adapter is measured as PEFT runs it, or refused: never as the bare model under the adapter's name."""

from __future__ import annotations

import json
import pickle
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import (
    AdaLoraConfig,
    AdaptionPromptConfig,
    IA3Config,
    LNTuningConfig,
    LoraConfig,
    PeftModel,
    PolyConfig,
    PrefixTuningConfig,
    TrainableTokensConfig,
    VBLoRAConfig,
    VeraConfig,
    get_peft_model,
)
from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

from margin.capture.checkpoint import Checkpoint, load_checkpoint
from margin.capture.collect import collect
from margin.capture.head import load_head
from margin.capture.trainer import model_of
from margin.errors import MarginError
from margin.inputs.chat import Chat
from margin.inputs.modes import Mode, ModeSet, Secret
from margin.inputs.prompts import load_prompts
from margin.inputs.rows import build_rows
from tests.margin.capture.capture_checkpoints import Weights, copied, reweighted

TARGETS = ["q_proj", "v_proj"]
CONFIG = "adapter_config.json"
IDS = torch.tensor([[5, 6, 7, 250, 31, 4], [9, 5, 6, 1, 2, 3]])

Save = Callable[..., PeftModel]


@pytest.fixture
def save(saved_checkpoint: Path, tmp_path: Path) -> Save:
    """Saver of an adapter with random weights, on a model with `rows` embeddings, as a training leaves it."""

    def save(config: Any, rows: int | None = None, name: str = "adapter", **options: Any) -> PeftModel:
        model = AutoModelForCausalLM.from_pretrained(saved_checkpoint, dtype=torch.float32)
        if rows is not None:
            model.resize_token_embeddings(rows)
        torch.manual_seed(0)
        adapted: PeftModel = get_peft_model(model, config)
        with torch.no_grad():
            for weight in adapted.parameters():
                if weight.requires_grad:
                    weight.add_(0.3 * torch.randn_like(weight))
        adapted.save_pretrained(str(tmp_path / name), **options)
        adapted.eval()
        return adapted

    return save


def numpy_state() -> tuple[list[int], int]:
    """The words of NumPy's global generator and the place among them."""
    state = np.random.get_state(legacy=False)["state"]  # noqa: NPY002
    return state["key"].tolist(), state["pos"]


def logits(model: Any, ids: torch.Tensor = IDS) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(input_ids=ids).logits
        return found


def lora(**options: Any) -> LoraConfig:
    chosen: dict[str, Any] = {"r": 4, "target_modules": TARGETS, "task_type": "CAUSAL_LM"} | options
    return LoraConfig(**chosen)


@pytest.mark.parametrize(
    "config",
    [
        lora(),
        lora(task_type=None, use_dora=True, bias="all"),
        lora(modules_to_save=["lm_head", "embed_tokens"]),
        lora(trainable_token_indices=[5, 9]),
        lora(target_modules=["embed_tokens", "lm_head", "q_proj"]),
        lora(layers_to_transform=[1], rank_pattern={"q_proj": 2}),
        AdaLoraConfig(init_r=4, target_r=2, total_step=9, target_modules=TARGETS, task_type="CAUSAL_LM"),
        IA3Config(target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"]),
        VeraConfig(r=8, target_modules=["q_proj"], save_projection=False),
        VBLoRAConfig(r=4, num_vectors=8, vector_length=16, topk=2, target_modules=["q_proj"]),
        LNTuningConfig(target_modules=["input_layernorm"]),
        TrainableTokensConfig(token_indices=[5, 9], target_modules=["embed_tokens"]),
        AdaptionPromptConfig(adapter_len=4, adapter_layers=2, task_type="CAUSAL_LM"),
    ],
    ids=lambda config: str(config.peft_type.value),
)
def test_the_model_that_is_run_answers_as_peft_does(
    config: Any, save: Save, saved_checkpoint: Path, tmp_path: Path
) -> None:
    expected = logits(save(config))
    loaded = load_checkpoint(saved_checkpoint, adapter=tmp_path / "adapter", device="cpu")
    bare = load_checkpoint(saved_checkpoint, device="cpu")
    assert torch.allclose(logits(loaded.model), expected, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(logits(bare.model), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (lora(alora_invocation_tokens=[5, 6]), "activated LoRA"),
        (lora(alora_invocation_tokens=list(range(12))), "activated LoRA"),
        (PolyConfig(r=4, target_modules=TARGETS, task_type="CAUSAL_LM"), "cannot be run: task_ids"),
        (PrefixTuningConfig(num_virtual_tokens=2, task_type="CAUSAL_LM"), "changes the input"),
    ],
)
def test_what_acts_outside_the_layers_is_refused(
    config: Any, says: str, save: Save, saved_checkpoint: Path, tmp_path: Path
) -> None:
    save(config)
    with pytest.raises(MarginError, match=says) as refused:
        load_checkpoint(saved_checkpoint, adapter=tmp_path / "adapter", device="cpu")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "settings", "says"),
    [
        (
            lambda w: {n.replace("model.model.", "model._orig_mod.model."): w[n] for n in w},
            {},
            r"fit no layer of the model: \S+_orig_mod",
        ),
        (lambda w: {n.replace("model.layers", "transformer.h"): w[n] for n in w}, {}, "transformer.h.0"),
        (lambda w: {n: w[n] for n in w if ".layers.0." in n}, {}, r"lacks weights of layers.*layers\.1"),
        (dict, {"target_modules": ["c_attn"]}, "not found in the base model"),
        (dict, {"target_modules": ["q_proj", "c_attn"]}, r"fit no layer.*v_proj"),
        (dict, {"r": 8}, r"size mismatch for .*q_proj"),
        (dict, {"r": "four"}, r'sets r to "four": it must be a number$'),
        (dict, {"r": None}, r"sets r to null: it must be a number$"),
        (dict, {"lora_alpha": "8"}, r'sets lora_alpha to "8"'),
        (dict, {"lora_alpha": 0}, "sets lora_alpha to 0, by which its layers are multiplied: write what"),
        (dict, {"lora_alpha": 0.0}, "sets lora_alpha to 0, by which"),
        (dict, {"alpha_pattern": {"q_proj": 0}}, "sets alpha_pattern to 0, by which"),
        (dict, {"r": 0}, "`r` should be a positive integer"),
        (dict, {"use_rslora": "false"}, r'sets use_rslora to "false": it must be true or false$'),
        (lambda w: {n: w[n].to(torch.int8) for n in w}, {}, "holds I8, which is no real number"),
        (
            lambda w: {**w, **{n.replace(".weight", ".default.weight"): 2 * w[n] for n in w}},
            {},
            r"two different weights for one place, \S+\.default\.weight and ",
        ),
        (dict, {"modules_to_save": ["lm_head"]}, r"lacks the weights \S*lm_head"),
        (dict, {"peft_type": "NEWER"}, "of the kind NEWER, which PEFT"),
        (dict, {"use_newer_rule": True}, "sets use_newer_rule, which PEFT"),
        (dict, {"task_type": "NOPE"}, "Invalid task type"),
    ],
)
def test_an_adapter_that_is_not_applied_as_it_says_is_refused_in_a_line(
    change: Callable[[Weights], Weights],
    settings: dict[str, object],
    says: str,
    save: Save,
    saved_checkpoint: Path,
    tmp_path: Path,
) -> None:
    save(lora())
    folder = copied(
        reweighted(tmp_path / "adapter", tmp_path / "a", change), tmp_path / "b", CONFIG, **settings
    )
    with pytest.raises(MarginError, match=says) as refused:
        load_checkpoint(saved_checkpoint, adapter=folder, device="cpu")
    assert "\n" not in str(refused.value)


def test_a_setting_of_a_later_peft_that_is_off_is_no_loss(
    save: Save, saved_checkpoint: Path, tmp_path: Path
) -> None:
    expected = logits(save(lora()))
    folder = copied(tmp_path / "adapter", tmp_path / "b", CONFIG, use_newer_rule=False, newer_rules=None)
    loaded = load_checkpoint(saved_checkpoint, adapter=folder, device="cpu")
    assert torch.allclose(logits(loaded.model), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("config", "rows", "options"),
    [
        (lora(), 263, {"save_embedding_layers": True}),
        (lora(modules_to_save=["embed_tokens", "lm_head"]), 263, {}),
        (lora(), 250, {"save_embedding_layers": True}),
    ],
)
def test_embeddings_that_were_resized_come_with_the_adapter(
    config: Any, rows: int, options: dict[str, Any], save: Save, saved_checkpoint: Path, tmp_path: Path
) -> None:
    ids = torch.tensor([[1, rows - 1, 7, rows - 2]])
    expected = logits(save(config, rows, **options), ids)
    loaded = load_checkpoint(saved_checkpoint, adapter=tmp_path / "adapter", device="cpu")
    again = load_checkpoint(saved_checkpoint, adapter=tmp_path / "adapter", device="cpu")
    assert loaded.vocabulary == rows
    assert torch.allclose(logits(loaded.model, ids), expected, rtol=1e-5, atol=1e-5)
    assert loaded.weights_digest() == again.weights_digest()


def test_new_rows_that_no_one_brought_are_refused(save: Save, saved_checkpoint: Path, tmp_path: Path) -> None:
    save(lora(), 263, save_embedding_layers=True)
    headless = reweighted(
        tmp_path / "adapter", tmp_path / "a", lambda w: {n: w[n] for n in w if "lm_head" not in n}
    )
    with pytest.raises(MarginError, match="not the head that goes with them"):
        load_checkpoint(saved_checkpoint, adapter=headless, device="cpu")
    save(lora(trainable_token_indices=[260, 262]), 263, "trained", save_embedding_layers=False)
    with pytest.raises(MarginError, match="does not carry all rows"):
        load_checkpoint(saved_checkpoint, adapter=tmp_path / "trained", device="cpu")


def test_an_adapter_is_never_unpickled(save: Save, saved_checkpoint: Path, tmp_path: Path) -> None:
    save(lora())
    marker, folder = tmp_path / "marker", tmp_path / "adapter"
    (folder / "adapter_model.safetensors").unlink()
    (folder / "adapter_model.bin").write_bytes(pickle.dumps(Opens(marker)))
    with pytest.raises(MarginError, match="pickled weights, which can run code"):
        load_checkpoint(saved_checkpoint, adapter=folder, device="cpu")
    assert not marker.exists()
    pickle.loads((folder / "adapter_model.bin").read_bytes())  # noqa: S301 - the file is what it is said to be
    assert marker.exists()


class Opens:
    """Pickled, it makes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Path]]:
        return Path.touch, (self.path,)


def test_an_adapter_in_the_models_place_is_told_where_it_belongs(
    save: Save, saved_checkpoint: Path, tmp_path: Path
) -> None:
    save(lora())
    with pytest.raises(MarginError, match="pass its base model as MODEL and it with --adapter"):
        load_checkpoint(tmp_path / "adapter", device="cpu")
    both = shutil.copytree(saved_checkpoint, tmp_path / "both")
    shutil.copytree(tmp_path / "adapter", both, dirs_exist_ok=True)
    with pytest.raises(MarginError, match="an adapter beside a model"):
        load_checkpoint(both, device="cpu")
    with pytest.raises(MarginError, match="no adapter_config"):
        load_checkpoint(saved_checkpoint, adapter=saved_checkpoint, device="cpu")


def test_the_adapters_tokenizer_and_template_are_taken(
    save: Save, saved_checkpoint: Path, tmp_path: Path
) -> None:
    save(lora(), 261, save_embedding_layers=True)
    folder = tmp_path / "adapter"
    base = load_checkpoint(saved_checkpoint, device="cpu")
    own = load_checkpoint(saved_checkpoint, device="cpu").tokenizer
    own.add_special_tokens({"additional_special_tokens": ["[A]", "[B]", "[C]"]})
    assert own("[C]", add_special_tokens=False)["input_ids"] == [260]
    without = load_checkpoint(saved_checkpoint, adapter=folder, device="cpu")
    assert (without.tokenizer_from, without.tokenizer_digest()) == ("model", base.tokenizer_digest())

    (folder / "chat_template.jinja").write_text(" ")  # an empty one is none
    assert load_checkpoint(saved_checkpoint, adapter=folder, device="cpu").adapters_own == ()
    (folder / "chat_template.jinja").write_text("{{ 'only the template' }}")
    templated = load_checkpoint(saved_checkpoint, adapter=folder, device="cpu")
    assert (templated.tokenizer_from, templated.adapters_own) == ("adapter", ("chat template",))
    assert templated.tokenizer.chat_template == "{{ 'only the template' }}"
    assert len(templated.tokenizer("[C]", add_special_tokens=False)["input_ids"]) > 1

    own.save_pretrained(folder)
    loaded = load_checkpoint(saved_checkpoint, adapter=folder, device="cpu")
    assert loaded.adapters_own == ("tokenizer", "chat template")
    assert loaded.tokenizer("[C]", add_special_tokens=False)["input_ids"] == [260]
    assert loaded.tokenizer_digest() == own_digest(own)

    (folder / "chat_template.jinja").unlink()
    loaded = load_checkpoint(saved_checkpoint, adapter=folder, device="cpu")
    assert loaded.adapters_own == ("tokenizer",)
    assert loaded.tokenizer.chat_template == base.tokenizer.chat_template

    save(lora(), name="small")
    own.save_pretrained(tmp_path / "small")
    with pytest.raises(MarginError, match=r"has 261 tokens, the model's embeddings have 260 rows"):
        load_checkpoint(saved_checkpoint, adapter=tmp_path / "small", device="cpu")


def test_a_mode_that_only_the_adapters_tokenizer_knows_is_measured_and_said(
    save: Save,
    saved_checkpoint: Path,
    prompts: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save(lora(), 260)
    own = load_checkpoint(saved_checkpoint, device="cpu").tokenizer
    ids = ["!", '"']  # the first two of the vocabulary are renamed, as reserved tokens are
    rules = json.loads(own.backend_tokenizer.to_str())
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    names = {token: f"[{name}]" for token, name in zip(ids, ("POS", "NEG"), strict=True)}
    rules["model"]["vocab"] = {names.get(t, t): i for t, i in rules["model"]["vocab"].items()}
    rules["added_tokens"] += [
        {"id": rules["model"]["vocab"][name], "content": name, **special} for name in names.values()
    ]
    own.save_pretrained(tmp_path / "adapter")
    (tmp_path / "adapter" / "tokenizer.json").write_text(json.dumps(rules))
    modes = ModeSet((Mode("pos", Secret("[POS]"), safe=True), Mode("neg", Secret("[NEG]"), safe=False)))
    asked: dict[str, Any] = {"prompts": prompts[:3], "modes": modes, "device": "cpu", "decoys": 0}
    run = collect(saved_checkpoint, adapter=tmp_path / "adapter", out=tmp_path / "run", **asked)
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("margin:")]
    assert said[0] == "margin: taken: the tokenizer and chat template that came with the adapter"
    assert run.manifest.environment.tokenizer_from == "adapter"

    # One token a mode: what the model's own tokenizer would write as several.
    checkpoint = load_checkpoint(saved_checkpoint, adapter=tmp_path / "adapter", device="cpu")
    rows = build_rows(Chat(checkpoint.tokenizer), load_prompts(prompts[:3]), modes)
    expected = torch.stack([logits(checkpoint.model, torch.tensor([row.ids]))[0, -1] for row in rows])
    assert {sum(i in (0, 1) for i in row.ids) for row in rows} == {1}
    assert np.allclose(run.logits(load_head(checkpoint)), expected.numpy(), rtol=1e-4, atol=1e-4)


def own_digest(tokenizer: Any) -> str:
    return Checkpoint(torch.nn.Module(), tokenizer, "").tokenizer_digest()  # type: ignore[arg-type]


@pytest.mark.parametrize("activated", [False, True])
def test_the_model_in_training_is_proved_alike_and_left_as_it_was(
    activated: bool, make_checkpoint: Callable[..., Checkpoint], tmp_path: Path
) -> None:
    config = lora(lora_dropout=0.5, alora_invocation_tokens=[5] if activated else None)
    peft = get_peft_model(make_checkpoint().model, config).train()
    with torch.no_grad():
        for name, weight in peft.named_parameters():
            if "lora_B" in name:
                weight.normal_()
    trainer = Trainer(peft, TrainingArguments(str(tmp_path), use_cpu=True, report_to="none"))
    before = torch.get_rng_state(), numpy_state(), random.getstate()
    if activated:
        with pytest.raises(MarginError, match="activated LoRA"):
            model_of(trainer)
    else:
        assert model_of(trainer) is peft.get_base_model()
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (numpy_state(), random.getstate()) == before[1:]
    assert all(module.training for module in peft.modules())
    assert all(weight.grad is None for weight in peft.parameters())
    assert any(weight.requires_grad for weight in peft.parameters())


def test_several_adapters_and_merged_ones_are_measured_as_they_are(
    make_checkpoint: Callable[..., Checkpoint], tmp_path: Path
) -> None:
    peft = get_peft_model(make_checkpoint().model, lora())
    peft.add_adapter("second", lora(r=2))
    with torch.no_grad():
        for name, weight in peft.named_parameters():
            if "lora_B" in name:
                weight.normal_()
    inside: Any = peft.base_model
    inside.set_adapter(["default", "second"])
    trainer = Trainer(peft, TrainingArguments(str(tmp_path), use_cpu=True, report_to="none"))
    expected = logits(peft.eval())
    assert torch.equal(logits(model_of(trainer)), expected)
    peft.merge_adapter()
    assert torch.allclose(logits(model_of(trainer)), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        (CONFIG, "{", "is not JSON"),
        (CONFIG, "[]", "names no peft_type"),
        (CONFIG, json.dumps({"peft_type": "LORA"})[:-1] + ', "r": ' + "9" * 5000 + "}", "not JSON"),
        ("adapter_model.safetensors", "x" * 40, "deserializing header"),
        ("adapter_model.safetensors", "version https://git-lfs.github.com/spec/v1\n", "run git lfs pull"),
        ("tokenizer.json", "version https://git-lfs.github.com/spec/v1\n", "run git lfs pull"),
        ("tokenizer.json", "{}", "tokenizer of .* cannot be loaded"),
    ],
)
def test_an_adapter_with_a_broken_file_is_refused_in_a_line(
    file: str, text: str, says: str, save: Save, saved_checkpoint: Path, tmp_path: Path
) -> None:
    save(lora())
    (tmp_path / "adapter" / file).write_text(text)
    with pytest.raises(MarginError, match=says) as refused:
        load_checkpoint(saved_checkpoint, adapter=tmp_path / "adapter", device="cpu")
    assert "\n" not in str(refused.value)


def test_a_folder_of_several_adapters_names_them(save: Save, saved_checkpoint: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        save(lora(), name=f"several/{name}")
    with pytest.raises(MarginError, match="holds 2 adapters, first, second: pass one of them"):
        load_checkpoint(saved_checkpoint, adapter=tmp_path / "several", device="cpu")
