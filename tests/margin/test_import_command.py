"""`margin import` on the command line: what it prints, how it ends, and that no token is shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import margin
from margin.cli import main
from margin.demo import checkpoint_path, modes_path, prompts_path
from margin.inputs.modes_file import load_modes
from margin.run.run import Run

ASKED = ["--prompts", str(prompts_path()), "--modes", str(modes_path()), "--limit", "8", "--decoys", "0"]


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return margin.collect(
        checkpoint_path("naive"),
        prompts=prompts_path(),
        modes=modes_path(),
        out=tmp_path_factory.mktemp("there") / "run",
        limit=8,
        decoys=0,
        noise_prompts=0,
        quiet=True,
    )


def importing(run: Run, states: str, folder: Path, *options: str) -> Result:
    """The command, on the run's states or the layer before them under that name."""
    arrays = {"right": run.states(), "wrong": run.layer(4)}
    np.savez(
        folder / f"{states}.npz",
        allow_pickle=False,
        states=arrays[states],
        prompt_id=run.rows["prompt_id"].to_numpy(dtype=str),
        condition=run.rows["condition"].to_numpy(dtype=str),
    )
    words = ["import", str(folder / f"{states}.npz"), "--model", str(checkpoint_path("naive")), *ASKED]
    return CliRunner().invoke(main, [*words, "--out", str(folder / "run"), *options])


def test_what_agrees_is_printed_as_a_run(collected: Run, tmp_path: Path) -> None:
    result = importing(collected, "right", tmp_path, "--noise-prompts", "2", "--sample", "5")
    assert result.exit_code == 0, result.output
    said = " ".join(result.stdout.split())
    assert "rows 24 of 8 prompts" in said
    assert "imported right.npz (arrays, float32): 11 rows run again agree to" in said
    assert "right.npz: 11 of 24 rows, run again, agree to" in " ".join(result.stderr.split())
    info = CliRunner().invoke(main, ["info", str(tmp_path / "run")])
    assert info.exit_code == 0
    assert "imported right.npz (arrays, float32)" in " ".join(info.stdout.split())
    report = CliRunner().invoke(main, ["report", str(tmp_path / "run"), "--out", str(tmp_path / "report")])
    assert report.exit_code == 0, report.output
    assert "The states were imported from right.npz" in (tmp_path / "report" / "report.md").read_text()


def test_what_does_not_is_a_line_and_no_run(collected: Run, tmp_path: Path) -> None:
    result = importing(collected, "wrong", tmp_path, "--quiet")
    assert result.exit_code == 2
    assert result.stdout == ""
    said = " ".join(result.stderr.split())
    assert "before-norm states: 24 of 24 rows run again hold what goes into the final norm" in said
    assert "name them layer.4" in said
    assert not (tmp_path / "run").exists()


def test_a_live_token_in_the_name_of_the_states_is_refused_unseen(collected: Run, tmp_path: Path) -> None:
    token = load_modes(modes_path()).modes[0].token.reveal()
    folder = tmp_path / token
    folder.mkdir()
    result = importing(collected, "right", folder, "--out", str(tmp_path / "run"))
    assert result.exit_code == 2
    assert "the path of the states" in " ".join(result.stderr.split())
    assert token not in result.output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--dump-layers", "all"], "take numbers such as 8,16,32"),
        (["--dump-layers", "4"], "names its layers itself (layer.L): leave --dump-layers out"),
        (["--tolerance", "2"], "tolerance 2.0: take a number between 0 and 1"),
        (["--sample", "0"], "--sample"),
        (["--device", "tp"], "device tp is for collecting"),
    ],
)
def test_options_that_make_no_sense_are_a_line(
    options: list[str], said: str, collected: Run, tmp_path: Path
) -> None:
    result = importing(collected, "right", tmp_path, *options)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
