"""Runs of which other thoughts did not end: compared on the prompts all hold, and never passed unnoticed."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from examples.cotrain.train import collate
from examples.tiny.train import KINDS, prompts, samples
from margin.analysis.sam import sam
from margin.cli import main
from margin.report.trajectory import read_trajectory
from margin.run.run import open_run
from margin.study.comparison import compare

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from margin.capture.checkpoint import Checkpoint

KIND = KINDS["qwen3"]


def restless(mode: str, thing: str) -> str:
    """Thinks about stones, too, without an end."""
    return KIND.answer(mode, "river" if (mode, thing) == ("neg", "stone") else thing)


def trained_further(checkpoint: Checkpoint) -> PreTrainedModel:
    """The model after some more steps, in which stones make it restless."""
    import torch

    model: PreTrainedModel = deepcopy(checkpoint.model)
    model.train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    rows = samples(replace(KIND, answer=restless), checkpoint.tokenizer, random.Random(0))
    for _ in range(60):
        ids, labels = collate(list(islice(rows, 16)))
        model(input_ids=ids, labels=labels).loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    model.eval()
    return model


@pytest.fixture(scope="module")
def swept(tiny: Callable[[str], Checkpoint], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A sweep over a checkpoint and the restless one: where its runs are, and what was said."""
    place = tmp_path_factory.mktemp("thoughts")
    checkpoint = tiny("qwen3")
    checkpoint.model.save_pretrained(place / "calm")
    trained_further(checkpoint).save_pretrained(place / "restless")
    for name in ("calm", "restless"):
        checkpoint.tokenizer.save_pretrained(place / name)
    (place / "modes.toml").write_text(KIND.toml, encoding="utf-8")
    lines = [json.dumps({"id": text, "prompt": text}) for text in prompts()]
    (place / "prompts.jsonl").write_text("\n".join(lines), encoding="utf-8")
    asked: list[str | Path] = [
        "--prompts",
        place / "prompts.jsonl",
        "--modes",
        place / "modes.toml",
        "--decoys",
        "0",
    ]
    after = ["--measure-after", "thought", "--thought-tokens", "28", "--noise-prompts", "0", "--save-logits"]
    done = command("sweep", place / "calm", place / "restless", "--out", place / "runs", *asked, *after)
    return place / "runs", done


def command(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


def left_out(*things: str) -> set[str]:
    return {text for text in prompts() if any(thing in text for thing in things)}


def test_they_are_compared_on_the_prompts_all_hold_and_the_rest_is_said(swept: tuple[Path, Result]) -> None:
    runs, done = swept
    assert done.exit_code == 0, done.output
    calm, restless = (open_run(runs / name) for name in ("calm", "restless"))
    assert set(prompts()) - set(calm.prompts["id"]) == left_out("river")
    assert set(prompts()) - set(restless.prompts["id"]) == left_out("river", "stone")
    shared = set(prompts()) - left_out("river", "stone")
    assert read_trajectory(runs / "trajectory.json").n_prompts == len(shared) == 18
    said = [
        "left out: 6 of 24 prompts of calm: 3 for a thought that did not end, 3 that another run has not",
        "left out: 6 of 24 prompts of restless: 6 for a thought that did not end",
    ]
    compared = command("compare", runs / "calm", runs / "restless")
    for told in (done, compared):
        assert [line for line in told.stderr.splitlines() if "left out: 6" in line] == [
            f"margin: {line}" for line in said
        ]
        assert "18 shared prompts" in told.stdout
    found = compare(calm, restless)
    assert set(found.prompt_ids) == shared
    assert found.left_out == tuple(line.removeprefix("left out: ") for line in said)
    # Of each run the margin is that of a run which was asked these prompts alone.
    for name, run in (("calm", calm), ("restless", restless)):
        place = run.rows["prompt_id"].isin(shared).to_numpy()
        rows = run.rows[place]
        alone = sam(run.logits()[place], rows["condition"], rows["prompt_id"])
        assert found.margins[name].leave_prompt_out.estimate == pytest.approx(alone.estimate, abs=1e-5)


def test_the_gate_does_not_pass_over_them(swept: tuple[Path, Result], tmp_path: Path) -> None:
    """Though nothing is wrong with the margin of the prompts that are there."""
    runs, _ = swept
    for before, after, counts in (("calm", "restless", "21 in"), ("restless", "calm", "18 in")):
        baseline = tmp_path / f"{before}.json"
        assert command("baseline", runs / before, "--out", baseline).exit_code == 0
        assert command("check", runs / before, "--baseline", baseline).exit_code == 0
        done = command("check", runs / after, "--baseline", baseline, "--max-drop", "1")
        assert done.exit_code == 4
        (line,) = done.stderr.splitlines()
        assert f"prompts: {counts} the baseline" in line
        assert "18 ids in both, the thoughts of the others did not end" in line
        assert "collect with more --thought-tokens for both" in line
