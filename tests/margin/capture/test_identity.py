"""A folder goes on only with the model it was begun with: all that decides a forward pass is compared."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from packaging.version import Version
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig
from transformers.integrations.peft import MIN_PEFT_VERSION

from margin.capture.checkpoint import Checkpoint, load_checkpoint
from margin.capture.collect import collect
from margin.capture.configuration import forward_pass
from margin.errors import IncomparableError, MarginError
from margin.inputs.chat import Chat
from margin.inputs.modes import Mode, ModeSet, Secret
from margin.inputs.preflight import preflight
from margin.inputs.prompts import load_prompts
from margin.inputs.rows import build_rows
from margin.run.manifest import UNRECORDED, Manifest, read_manifest
from margin.run.run import Run, open_run
from margin.run.stored import Record
from tests.margin.conftest import SMALL
from tests.tiny_manifests import tiny_manifest

PROMPTS = ["mend a chain", "bake bread", "sail a boat", "plant a tree"]


@pytest.fixture
def folder(saved_checkpoint: Path, tmp_path: Path) -> Path:
    """A checkpoint on disk that a test may change."""
    return Path(shutil.copytree(saved_checkpoint, tmp_path / "model"))


@pytest.fixture
def again(modes: ModeSet, tmp_path: Path) -> Callable[..., Run]:
    """Collects into one folder."""

    def run(model: Path | Checkpoint, **options: Any) -> Run:
        arguments: dict[str, Any] = {
            "prompts": PROMPTS,
            "modes": modes,
            "noise_prompts": 0,
            "shard_rows": 4,
        } | options
        return collect(model, out=tmp_path / "run", decoys=0, quiet=True, **arguments)

    return run


def edit(path: Path, **entries: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(IncomparableError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


def compared(old: Record, new: Record) -> None:
    """What `collect` does of a folder's identity and that of its own model."""
    tiny_manifest(json.loads(json.dumps(old))).require_same(tiny_manifest(new), Path("run"))


def test_a_run_does_not_go_on_with_another_configuration(folder: Path, again: Callable[..., Run]) -> None:
    run = again(folder)
    (run.path / "shards/00001.safetensors").unlink()
    edit(folder / "config.json", rope_parameters={"rope_theta": 200.0, "rope_type": "default"})
    said = refused(lambda: again(folder))
    assert "configuration.rope_parameters.rope_theta: 10000.0 there, 200.0 here" in said
    assert "buffers" not in said  # they follow


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ({"rms_norm_eps": 1e-2}, "configuration.rms_norm_eps: 1e-06 there, 0.01 here"),
        ({"hidden_act": "gelu"}, "configuration.hidden_act: silu there, gelu here"),
        ({"a_key_of_next_year": 3}, "configuration.a_key_of_next_year: nothing there, 3 here"),
        ({"a_key_of_next_year": {"softcap": 30.0}}, "configuration.a_key_of_next_year: nothing there"),
    ],
)
def test_a_configuration_changed_on_disk_is_named(
    folder: Path, modes: ModeSet, entries: dict[str, Any], says: str
) -> None:
    before = forward_pass(load_checkpoint(folder).model, modes)
    edit(folder / "config.json", **entries)
    after = forward_pass(load_checkpoint(folder).model, modes)
    assert says in refused(lambda: compared(before, after))


def test_what_has_no_effect_does_not_stand_in_the_way(folder: Path, modes: ModeSet, tmp_path: Path) -> None:
    before = forward_pass(load_checkpoint(folder).model, modes)
    edit(
        folder / "config.json",
        use_cache=False,
        transformers_version="5.0.0",
        architectures=["Other"],
        id2label={"0": "good"},
        output_attentions=False,
        eos_token_id=5,
    )
    elsewhere = folder.rename(tmp_path / "elsewhere")
    assert forward_pass(load_checkpoint(elsewhere).model, modes) == before


def test_what_ends_an_answer_counts_where_answers_are_made(folder: Path, again: Callable[..., Run]) -> None:
    again(folder, generate=3)
    edit(folder / "generation_config.json", eos_token_id=5)
    assert "ends: 5 only here" in refused(lambda: again(folder, generate=3))


def test_an_adapter_scaled_on_disk_is_named(
    saved_checkpoint: Path, make_checkpoint: Callable[..., Checkpoint], modes: ModeSet, tmp_path: Path
) -> None:
    adapter = tmp_path / "adapter"
    config = LoraConfig(r=2, lora_alpha=4, target_modules="all-linear", init_lora_weights=False)
    get_peft_model(make_checkpoint().model, config).save_pretrained(str(adapter))

    def loaded() -> Record:
        return forward_pass(load_checkpoint(saved_checkpoint, adapter=adapter).model, modes)

    before = loaded()
    edit(adapter / "adapter_config.json", inference_mode=False, base_model_name_or_path="elsewhere")
    assert loaded() == before
    edit(adapter / "adapter_config.json", lora_alpha=8)
    assert "adapters.default.lora_alpha: 4 there, 8 here" in refused(lambda: compared(before, loaded()))


def scale(model: Any) -> None:
    for module in model.modules():
        if hasattr(module, "set_scale"):
            module.set_scale("default", 7.0)


@pytest.mark.skipif(
    Version(version("peft")) < Version(MIN_PEFT_VERSION),
    reason=f"this transformers adds adapters with PEFT from {MIN_PEFT_VERSION} on only",
)
@pytest.mark.parametrize(
    ("change", "names"),
    [
        (scale, "modules.Linear.scaling.default"),
        (lambda model: model.disable_adapters(), "adapters.default.active_layers"),
        (lambda model: setattr(model.model.norm, "variance_epsilon", 0.1), "LlamaRMSNorm.variance_epsilon"),
        (lambda model: model.model.rotary_emb.inv_freq[-1:].mul_(1.001), "buffers.model.rotary_emb.inv_freq"),
    ],
)
def test_what_was_set_by_hand_is_seen_too(
    make_checkpoint: Callable[..., Checkpoint],
    modes: ModeSet,
    change: Callable[[Any], object],
    names: str,
) -> None:
    model = make_checkpoint().model
    model.add_adapter(LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False))
    before = forward_pass(model, modes)
    compared(before, forward_pass(model, modes))
    with torch.no_grad():
        change(model)
    assert names in refused(lambda: compared(before, forward_pass(model, modes)))


def test_buffers_that_another_device_rounds_differently_are_the_same(
    make_checkpoint: Callable[..., Checkpoint], modes: ModeSet
) -> None:
    model: Any = make_checkpoint().model
    before = forward_pass(model, modes)
    frequencies = model.model.rotary_emb.inv_freq
    frequencies.copy_(torch.nextafter(frequencies, torch.tensor(torch.inf)))
    compared(before, forward_pass(model, modes))


@pytest.mark.parametrize("kind", ["dynamic", "longrope"])
def test_what_a_pass_leaves_in_its_buffers_is_no_difference(
    make_checkpoint: Callable[..., Checkpoint], modes: ModeSet, kind: str
) -> None:
    factors = {"long_factor": [2.0] * 4, "short_factor": [1.0] * 4} if kind == "longrope" else {"factor": 2.0}
    rope = {"rope_type": kind, "rope_theta": 10000.0, "original_max_position_embeddings": 32, **factors}
    model = make_checkpoint(
        LlamaConfig(**SMALL | {"max_position_embeddings": 32}, rope_parameters=rope)
    ).model
    before = forward_pass(model, modes)
    frequencies = model.model.rotary_emb.inv_freq.clone()
    with torch.inference_mode():
        model(torch.zeros(1, 60, dtype=torch.long))
    assert not torch.equal(frequencies, model.model.rotary_emb.inv_freq)
    assert forward_pass(model, modes) == before


def test_a_live_token_in_a_configuration_does_not_reach_the_run(
    folder: Path, again: Callable[..., Run]
) -> None:
    edit(folder / "config.json", switches={"pos": "zqkw81vx"}, zqkw81vx=1)
    run = again(folder)
    assert "[token of pos]" in json.dumps(run.manifest.identity.to_dict())
    assert all(b"zqkw81vx" not in path.read_bytes() for path in run.path.rglob("*.*"))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Sets by how many hours the clock of this process is ahead."""

    def ahead(hours: int) -> None:
        monkeypatch.setenv("TZ", f"XXX{-hours}")
        time.tzset()

    yield ahead
    monkeypatch.undo()
    time.tzset()


DATED = (
    "{% if not day is defined %}{% set day = strftime_now('%d %H') %}{% endif %}<s>[{{ day }}]"
    "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


def test_a_template_that_writes_the_date_is_refused_on_another_day(
    folder: Path, again: Callable[..., Run], clock: Callable[[int], None]
) -> None:
    clock(0)
    run = again(folder, chat_template=DATED)
    assert read_manifest(run.path).identity.head.endswith("[system]{token}</s>[user]")
    again(folder, chat_template=DATED)
    clock(5)
    said = refused(lambda: again(folder, chat_template=DATED))
    assert "head: " in said
    assert "writes the date or the time" in said
    assert "--chat-kwargs" in said


def test_a_date_that_is_fixed_goes_on(
    folder: Path, again: Callable[..., Run], clock: Callable[[int], None]
) -> None:
    for hours in (0, 5):
        clock(hours)
        again(folder, chat_template=DATED, chat_kwargs={"day": "1 May"})


def test_rows_have_the_head_that_the_run_is_identified_by(
    make_checkpoint: Callable[..., Checkpoint], modes: ModeSet, clock: Callable[[int], None]
) -> None:
    """Midnight passes between the preflight, whose head is recorded, and the rows."""
    clock(0)
    chat = Chat(make_checkpoint().tokenizer, chat_template=DATED)
    prompts = load_prompts(PROMPTS)
    preflight(chat, modes, prompts)
    build_rows(chat, prompts, modes)
    clock(5)
    with pytest.raises(MarginError, match="writes the time of day"):
        build_rows(chat, prompts, modes)


def as_of_an_earlier_version(run: Run) -> None:
    recorded = run.manifest.identity.to_dict()
    identity = {key: value for key, value in recorded.items() if key not in UNRECORDED}
    run.manifest.replace(identity=identity).write(run.path)


def test_a_run_of_an_earlier_version_opens_and_goes_on_as_what_it_was(
    folder: Path, again: Callable[..., Run], capsys: pytest.CaptureFixture[str]
) -> None:
    run = again(folder)
    states = run.states()
    as_of_an_earlier_version(run)
    assert not set(UNRECORDED) & set(open_run(run.path).manifest.identity.to_dict())
    assert not set(UNRECORDED) & set(again(folder).manifest.identity.to_dict())
    assert "earlier version" not in capsys.readouterr().err

    read_manifest(run.path).replace(files={}).write(run.path)
    (run.path / "shards/00001.safetensors").unlink()
    gone_on = again(folder)
    assert "did not record configuration" in capsys.readouterr().err
    assert not set(UNRECORDED) & set(gone_on.manifest.identity.to_dict())
    np.testing.assert_array_equal(gone_on.states(), states)


def test_rows_of_two_versions_do_not_meet_in_a_run(folder: Path, again: Callable[..., Run]) -> None:
    run = again(folder)
    versions = run.manifest.environment.versions
    old = run.manifest.environment.replace(versions=versions | {"torch": "0.1", "numpy": "0.1"})
    run.manifest.replace(environment=old).write(run.path)
    again(folder)  # is whole
    (run.path / "shards/00001.safetensors").unlink()
    said = refused(lambda: again(folder))
    assert "torch: 0.1 there" in said
    assert "numpy" not in said
    for shard in (run.path / "shards").iterdir():
        shard.unlink()
    again(folder)  # nothing is kept


def test_a_key_that_another_version_of_transformers_names_is_unknown() -> None:
    def made_by(version: str, **configuration: Any) -> Manifest:
        versions = {"versions": {"transformers": version}}
        return tiny_manifest({"configuration": configuration}, environment=versions)

    there = made_by("5.1", eps=1e-6, pruned={"0": [1]}, rope={"theta": 1.0, "old": 2})
    there.require_same(made_by("5.2", eps=1e-6, bias=False, rope={"theta": 1.0, "new": 3}), Path("run"))
    with pytest.raises(IncomparableError, match=r"configuration\.rope\.theta: 1\.0 there, 2\.0 here"):
        there.require_same(made_by("5.2", eps=1e-6, rope={"theta": 2.0}), Path("run"))
    with pytest.raises(IncomparableError, match=r"configuration\.pruned"):
        there.require_same(made_by("5.1", eps=1e-6, rope=there.identity.configuration["rope"]), Path("run"))


def test_attacks_changed_under_their_name_are_refused(
    folder: Path, again: Callable[..., Run], tmp_path: Path
) -> None:
    attacks = tmp_path / "attacks.jsonl"
    attacks.write_text(json.dumps({"name": "asked", "template": "Now {prompt}"}))
    again(folder, attacks=attacks)
    attacks.write_text(json.dumps({"name": "asked", "template": "Please: {prompt}"}))
    assert "controls.attacks.asked: other content" in refused(lambda: again(folder, attacks=attacks))


def test_attention_by_another_implementation_is_refused(folder: Path, again: Callable[..., Run]) -> None:
    again(folder)
    other = load_checkpoint(folder)
    other.model.set_attn_implementation("eager")
    assert "attention: sdpa there, eager here" in refused(lambda: again(replace(other, name="model")))


def test_a_models_own_code_counts(tmp_path: Path, saved_checkpoint: Path, modes: ModeSet) -> None:
    def code(name: str, epsilon: str) -> str:
        folder = Path(shutil.copytree(saved_checkpoint, tmp_path / name))
        (folder / "modeling_own.py").write_text(
            "from transformers import LlamaConfig, LlamaForCausalLM\n"
            "class OwnConfig(LlamaConfig):\n    model_type = 'own'\n"
            f"class Own(LlamaForCausalLM):\n    config_class = OwnConfig\n    shift = int('{epsilon}')\n"
        )
        auto = {"AutoConfig": "modeling_own.OwnConfig", "AutoModelForCausalLM": "modeling_own.Own"}
        edit(folder / "config.json", model_type="own", auto_map=auto, architectures=["Own"])
        model = load_checkpoint(folder, trust_remote_code=True).model
        found = forward_pass(model, modes)["code"]
        assert isinstance(found, str)
        live = ModeSet((Mode("a", Secret(epsilon * 8), True), Mode("b", Secret("tokenb81"), True)))
        assert forward_pass(model, live)["code"] == found
        hidden = ModeSet((Mode("a", Secret("LlamaForCausalLM"), True), Mode("b", Secret("tokenb81"), True)))
        assert forward_pass(model, hidden)["code"] is None
        return found

    assert code("one", "1") == code("two", "1") != code("three", "2")
