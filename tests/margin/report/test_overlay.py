"""Several runs in one picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from margin.capture.checkpoint import Checkpoint
from margin.capture.collect import collect
from margin.cli import main
from margin.errors import MarginError
from margin.inputs.modes import ModeSet
from margin.run.run import Run
from margin.study.canvas import Canvas
from margin.study.overlay import open_together, overlay
from margin.study.sections.layers import Layers
from margin.study.settings import Settings


@pytest.fixture(scope="module")
def other(
    make_checkpoint: Callable[..., Checkpoint],
    modes: ModeSet,
    prompts: list[str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:
    """A run on other prompts, asked alike."""
    table = pd.DataFrame({"id": [f"q{i}" for i in range(9)], "prompt": prompts[:9]})
    out = tmp_path_factory.mktemp("runs") / "other"
    asked = {"prompts": table, "modes": modes, "out": out, "layers": "all"}
    return collect(make_checkpoint(), **asked, decoys=0, quiet=True)


def test_each_run_has_its_curve(run: Run, other: Run) -> None:
    studies, asked = open_together([run.path, other.path], Settings())
    assert not asked
    axes = overlay(studies, "layers", Canvas()).figure.axes[0]
    drawn = {line.get_label(): np.asarray(line.get_ydata()) for line in axes.lines}
    for name, study in studies.items():
        found = study.section(Layers)
        assert found is not None
        margins = [margin.estimate for margin in found.curve.leave_prompt_out]
        assert np.allclose(drawn[name], margins)


def test_figures_of_several_runs_go_into_a_folder_of_their_own(run: Run, other: Run, tmp_path: Path) -> None:
    names = [str(run.path), str(other.path)]
    done = CliRunner().invoke(main, ["figures", *names, "--out", str(tmp_path), "--format", "png"])
    assert done.exit_code == 0, done.output
    assert {path.name for path in tmp_path.iterdir()} == {"layers.png", "margins.png"}
    assert "--positions" in done.stderr  # what is missing for the third
    homeless = CliRunner().invoke(main, ["figures", *names])
    assert homeless.exit_code == 2
    assert "--out" in homeless.stderr
    alone = CliRunner().invoke(main, ["figures", names[0], "--across", "head"])
    assert alone.exit_code == 2


def test_what_cannot_stand_in_one_picture_is_refused(run: Run, other: Run) -> None:
    with pytest.raises(MarginError, match="stands twice"):
        open_together([run.path, run.path], Settings())
    studies, _ = open_together([run.path, other.path], Settings())
    with pytest.raises(MarginError, match="unknown: choose from margins"):
        overlay(studies, "pairs", Canvas())
