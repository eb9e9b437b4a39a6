"""Commands that work in one process say so under torchrun, before anything is loaded or written."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from margin.cli import main
from margin.demo import checkpoint_path, modes_path, prompts_path


@pytest.mark.parametrize("command", ["trace", "secrecy"])
def test_several_processes_are_refused_in_a_line(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each would do the whole work, and write the same file."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    out = tmp_path / "out"
    inputs = ["--prompts", str(prompts_path()), "--modes", str(modes_path()), "--out", str(out), "--quiet"]
    done = CliRunner().invoke(main, [command, str(checkpoint_path("cotrained")), *inputs])
    assert done.exit_code == 2
    assert len(done.output.splitlines()) == 1
    assert f"margin {command} runs in one process" in done.output
    assert not out.exists()


def test_a_trace_over_clusters_that_are_not_there_collects_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    inputs = ["--prompts", str(prompts_path()), "--modes", str(modes_path()), "--out", str(out), "--quiet"]
    done = CliRunner().invoke(main, ["trace", str(checkpoint_path("cotrained")), *inputs, "--cluster", "no"])
    assert done.exit_code == 2
    assert "no column 'no' to cluster by: the prompts have language, category" in done.output
    assert not (out / "manifest.json").exists()
