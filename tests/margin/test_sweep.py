"""`margin sweep` as a user meets it: folders of checkpoints in, a trajectory out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pandas as pd
import pytest
from click.testing import CliRunner, Result

import margin
from margin.cli import main
from margin.errors import MarginError
from margin.report.trajectory import read_trajectory
from margin.report.trajectory_record import schema
from margin.run.seal import sealed
from margin.study.comparison import compare
from tests.margin.conftest import TOKENS

if TYPE_CHECKING:
    from margin.capture.checkpoint import Checkpoint

MODES = "\n".join(f'[modes.{name}]\ntoken_env = "T_{name.upper()}"\nsafe = true' for name in TOKENS)
STEPS = (20, 100, 3)
"""As a folder's listing has them: neither the order of numbers nor that of names is that of the training."""


@pytest.fixture(scope="module")
def trainings(
    make_checkpoint: Callable[..., Checkpoint], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Folders: `whole` with checkpoints, `adapters` with LoRA adapters, `base` they go on."""
    import torch
    from peft import LoraConfig, get_peft_model

    place = tmp_path_factory.mktemp("trainings")
    for step in STEPS:
        checkpoint = make_checkpoint(seed=step)
        checkpoint.model.save_pretrained(place / f"whole/checkpoint-{step}")
        checkpoint.tokenizer.save_pretrained(place / f"whole/checkpoint-{step}")
    (place / "whole/logs").mkdir()
    base = make_checkpoint()
    base.model.save_pretrained(place / "base")
    base.tokenizer.save_pretrained(place / "base")
    for step in STEPS[:2]:
        model = make_checkpoint().model
        torch.manual_seed(step)
        adapter = LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False)
        get_peft_model(model, adapter).save_pretrained(str(place / f"adapters/checkpoint-{step}"))
    return {name: place / name for name in ("whole", "adapters", "base")}


@pytest.fixture
def workspace(prompts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    lines = [json.dumps({"id": f"p{i}", "prompt": text}) for i, text in enumerate(prompts)]
    (tmp_path / "prompts.jsonl").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "modes.toml").write_text(MODES.replace("true", "false", 1), encoding="utf-8")
    for name, token in TOKENS.items():
        monkeypatch.setenv(f"T_{name.upper()}", token)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sweep(*arguments: str | Path) -> Result:
    files = ("--prompts", "prompts.jsonl", "--modes", "modes.toml", "--out", "sweep", "--noise-prompts", "0")
    return CliRunner().invoke(main, ["sweep", *files, *map(str, arguments)])


def refuses_what_its_schema_refuses(record: dict[str, Any], path: Path) -> None:
    """Each rule broken once, in a file that bears the right checksum: one line says where, and which rule."""
    broken: list[tuple[str, Any]] = [
        ("against", "the last"),
        ("distance", 3),
        ("variant", "plain"),
        ("level", "0.95"),
        ("n_prompts", 1),
        ("checkpoints", record["checkpoints"][:1]),
        ("checkpoints", [record["checkpoints"][0], record["checkpoints"][1] | {"estimate": -1.5}]),
        ("checkpoints", [record["checkpoints"][0], record["checkpoints"][1] | {"step": 0.5}]),
        ("checkpoints", [record["checkpoints"][0], record["checkpoints"][1] | {"more": 1}]),
        ("checkpoints", [record["checkpoints"][0], {"checkpoint": "b"}]),
        ("leaks", [record["leaks"][0] | {"leaks": -1}]),
        ("leaks", [record["leaks"][0] | {"rate": 1.5}]),
        ("leaks", [record["leaks"][0] | {"high": None}]),
        ("more", 1),
    ]
    for key, value in broken:
        seal = sealed(record | {key: value})
        fault = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema()).iter_errors(seal))
        path.write_text(json.dumps(seal), encoding="utf-8")
        with pytest.raises(MarginError) as error:
            read_trajectory(path)
        assert f"{path} is no trajectory: {fault.json_path} breaks the rule " in str(error.value)
        assert "\n" not in str(error.value)


def test_a_column_that_is_not_there_is_refused_before_anything_is_run(
    workspace: Path, trainings: dict[str, Path]
) -> None:
    done = sweep(trainings["whole"], "--cluster", "templ")
    assert done.exit_code == 2
    assert "no column 'templ' to cluster by: the prompts have none" in done.output
    assert not (workspace / "sweep").exists()


def test_a_folder_of_checkpoints_gives_a_trajectory_in_the_order_of_steps(
    workspace: Path, trainings: dict[str, Path]
) -> None:
    done = sweep(trainings["whole"], "--controls", "none,random", "--json", "--quiet")
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    jsonschema.validate(record, schema())
    assert json.loads((workspace / "sweep/trajectory.json").read_text(encoding="utf-8")) == record
    seal = record.pop("checksum")
    assert read_trajectory(workspace / "sweep/trajectory.json").model_dump() == record
    edited = json.dumps(record | {"n_prompts": record["n_prompts"] + 1, "checksum": seal})
    (workspace / "edited.json").write_text(edited, encoding="utf-8")
    with pytest.raises(MarginError, match="not as it was written"):
        read_trajectory(workspace / "edited.json")
    refuses_what_its_schema_refuses(record, workspace / "broken.json")
    lines = record["checkpoints"]
    assert [line["step"] for line in lines] == [3, 20, 100]
    runs = [workspace / "sweep" / line["checkpoint"] for line in lines]
    for line, run in zip(lines, runs, strict=True):
        alone = margin.analyse(margin.open_run(run), permutations=1)
        assert line["estimate"] == pytest.approx(alone.headline.leave_prompt_out.estimate, abs=1e-6)
        leaks = {leak.condition: leak.count for leak in alone.robustness.select("leak")}
        told = {leak["condition"]: leak["leaks"] for leak in record["leaks"] if leak["step"] == line["step"]}
        assert told == leaks
    assert lines[0]["difference"] is None
    for line in lines[1:]:
        assert line["reference"] == "checkpoint-3"
        assert line["difference"] == pytest.approx(line["estimate"] - lines[0]["estimate"])
        assert line["difference_low"] < line["difference"] < line["difference_high"]
    own = {d.run: d.difference for d in compare(*runs).differences if d.margin == "leave_prompt_out"}
    for line in lines[1:]:  # what holds for both at once is wider than what holds for each
        assert line["difference_low"] < own[line["checkpoint"]].low
    table = pd.read_csv(workspace / "sweep/trajectory.csv")
    assert table["estimate"].tolist() == pytest.approx([line["estimate"] for line in lines])
    assert (workspace / "sweep/trajectory.png").read_bytes().startswith(b"\x89PNG")
    assert (workspace / "sweep/trajectory.pdf").read_bytes().startswith(b"%PDF")
    for token in TOKENS.values():
        for path in (workspace / "sweep").rglob("*"):
            assert path.is_dir() or token.encode() not in path.read_bytes()


def test_a_sweep_goes_on_where_it_stopped_and_takes_each_checkpoint_against_the_one_before(
    workspace: Path, trainings: dict[str, Path]
) -> None:
    checkpoints = [trainings["whole"] / f"checkpoint-{step}" for step in STEPS]
    assert sweep(*checkpoints).exit_code == 0
    shutil.rmtree(workspace / "sweep/checkpoint-20")
    kept = workspace / "sweep/checkpoint-3/manifest.json"
    before = kept.stat().st_mtime_ns
    again = sweep(*checkpoints, "--against", "previous")
    assert again.exit_code == 0, again.output
    assert kept.stat().st_mtime_ns == before
    assert "against the previous" in again.stdout
    lines = json.loads((workspace / "sweep/trajectory.json").read_text(encoding="utf-8"))["checkpoints"]
    assert [line["reference"] for line in lines] == [None, "checkpoint-3", "checkpoint-20"]
    assert lines[2]["difference"] == pytest.approx(lines[2]["estimate"] - lines[1]["estimate"])


def test_adapters_go_on_their_base_which_is_step_0(workspace: Path, trainings: dict[str, Path]) -> None:
    base = str(trainings["base"])
    done = sweep(base, trainings["adapters"], "--model", base, "--json", "--quiet")
    assert done.exit_code == 0, done.output
    lines = json.loads(done.stdout)["checkpoints"]
    assert [line["step"] for line in lines] == [0, 20, 100]
    assert len({line["estimate"] for line in lines}) == 3
    manifest = json.loads((workspace / "sweep/checkpoint-20/manifest.json").read_text(encoding="utf-8"))
    assert manifest["identity"]["adapter"] == "checkpoint-20"


@pytest.mark.parametrize(
    ("places", "extra", "says"),
    [
        (["whole/checkpoint-3"], [], "at least two"),
        (["whole/logs"], [], "no checkpoint"),
        (["adapters"], [], "--model"),
        (["whole"], ["--model", "base"], "adapters only"),
        (["whole", "whole/checkpoint-3"], [], "stands twice"),
        (["whole", None], [], "is empty"),
    ],
)
def test_what_is_no_series_of_checkpoints_ends_with_one_line(
    workspace: Path, trainings: dict[str, Path], places: list[str | None], extra: list[str], says: str
) -> None:
    refused = sweep(*(trainings["base"].parent / place if place else "" for place in places), *extra)
    assert refused.exit_code == 2
    assert says in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("trajectory.json", "a checkpoint named trajectory.json has its run where"),
        ("Trajectory.csv", "a checkpoint named Trajectory.csv has its run where"),
        ("notes.md", "notes.md is no checkpoint"),
        ("left", "left is not empty and holds no run"),
    ],
)
def test_a_checkpoint_that_has_no_place_is_refused_before_anything_is_run(
    workspace: Path, trainings: dict[str, Path], name: str, says: str
) -> None:
    odd = workspace / name
    if name == "notes.md":
        odd.write_text("of the training")
    else:
        shutil.copytree(trainings["whole"] / "checkpoint-3", odd)
    (workspace / "sweep/left").mkdir(parents=True)
    (workspace / "sweep/left/notes.md").touch()
    refused = sweep(trainings["whole"] / "checkpoint-20", odd)
    assert refused.exit_code == 2
    assert says in refused.stderr
    assert not (workspace / "sweep/checkpoint-20").exists()


def test_the_order_is_told_where_it_is_by_names_and_so_is_what_is_left_out(
    workspace: Path, trainings: dict[str, Path]
) -> None:
    for name, step in (("ft-2", 3), ("ft-10", 20), ("ft-1", 100)):
        shutil.copytree(trainings["whole"] / f"checkpoint-{step}", workspace / "training" / name)
    shutil.copytree(workspace / "training/ft-1", workspace / "training/ft-3")
    (workspace / "training/ft-3/config.json").unlink()
    (workspace / "training/logs").mkdir()
    done = sweep("training", "--json", "--quiet")
    assert done.exit_code == 0, done.output
    assert [line["checkpoint"] for line in json.loads(done.stdout)["checkpoints"]] == [
        "ft-1",
        "ft-2",
        "ft-10",
    ]
    assert "the order is ft-1, ft-2, ft-10" in done.stderr
    assert "left out, without a config.json: ft-3" in done.stderr
    assert "logs" not in done.stderr


def test_another_chat_template_is_not_compared(workspace: Path, trainings: dict[str, Path]) -> None:
    shutil.copytree(trainings["whole"], workspace / "mixed")
    template = workspace / "mixed/checkpoint-20/chat_template.jinja"
    other = template.read_text(encoding="utf-8").replace("[{{", "({{").replace("[assistant", "(assistant")
    template.write_text(other, encoding="utf-8")
    refused = sweep("mixed", "--quiet")
    assert refused.exit_code == 4, refused.stderr
    assert "checkpoint-20 cannot be compared with checkpoint-3: chat_template" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_checkpoints_of_two_trainings_keep_their_order_and_are_named_apart(
    workspace: Path, trainings: dict[str, Path]
) -> None:
    for name in ("b", "a"):
        shutil.copytree(trainings["whole"] / "checkpoint-20", workspace / name / "checkpoint-20")
    done = sweep("b/checkpoint-20", "a/checkpoint-20", "--json", "--quiet")
    assert done.exit_code == 0, done.output
    lines = json.loads(done.stdout)["checkpoints"]
    assert [(line["checkpoint"], line["step"]) for line in lines] == [
        ("b-checkpoint-20", None),
        ("a-checkpoint-20", None),
    ]
    assert lines[1]["difference"] == 0


@pytest.mark.parametrize("name", ["token", "token upper", "left out"])
def test_no_name_that_holds_a_token_is_said(name: str, workspace: Path, trainings: dict[str, Path]) -> None:
    token = TOKENS["pos"].upper() if "upper" in name else TOKENS["pos"]
    folder = Path(shutil.copytree(trainings["whole"], workspace / "training"))
    one = folder / "checkpoint-20"
    one.rename(folder / f"{token}-a") if name != "left out" else (folder / token).mkdir()
    done = sweep(folder)
    assert done.exit_code == 2
    assert token not in done.output
    assert len(done.stderr.strip().splitlines()) == 1
