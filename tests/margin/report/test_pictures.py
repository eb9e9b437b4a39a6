"""The figures of a report: all that the run holds, the same bytes each time, a word where one cannot be."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch

from margin.cli import main
from margin.errors import MarginError
from margin.figures import mode_looks
from margin.figures.style import StyleName
from margin.report.analyse import analyse
from margin.report.figures import FIGURES, save_figures
from margin.report.html import to_html
from margin.report.report import Report
from margin.report.views import NOTHING
from margin.run.run import Run
from margin.study.canvas import Canvas
from margin.study.study import Study

ASKED_FOR = ("decoys", "robustness", "probes", "positions", "trace", "dose", "guessing")
"""What takes decoys, controls, several positions, or another command on the run."""
PLAIN = [name for name in FIGURES if name not in ASKED_FOR]
"""What a run of one position without controls, that was not probed, is enough for."""


def test_every_figure_is_drawn_that_needs_nothing_asked_for(run: Run, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["figures", str(run.path), "--out", str(tmp_path), "--format", "png,pdf"])
    assert done.exit_code == 0, done.output
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{name}.{suffix}" for name in PLAIN for suffix in ("png", "pdf")
    }
    assert "--controls" in done.stderr
    assert "margin probe" in done.stderr
    assert [Path(line).name for line in done.stdout.split()] == [
        f"{name}.{suffix}" for name in PLAIN for suffix in ("png", "pdf")
    ]


def test_the_same_run_gives_the_same_bytes(run: Run, report: Report, tmp_path: Path) -> None:
    names = ("projection", "projection-tsne", "slices")
    for folder in ("once", "again"):
        (tmp_path / folder).mkdir()
        assert len([*save_figures(report, names, tmp_path / folder, ("png", "svg"))]) == 6
        assert len([*save_figures(report, ("overview",), tmp_path / folder, ("png",))]) == 1
    for path in (tmp_path / "once").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


def test_figures_draw_the_numbers_of_the_report(run: Run, report: Report) -> None:
    (bars,) = report.figure("silhouette").axes
    stairs = [patch for patch in bars.patches if isinstance(patch, StepPatch)]
    lengths = {to_hex(patch.get_facecolor()): np.asarray(patch.get_data()[0]) for patch in stairs}
    for mode, look in mode_looks(report.headline.per_mode).items():
        assert lengths[look.colour].mean() == pytest.approx(report.headline.per_mode[mode].estimate)
    assert report.layers is not None
    curve, share = (ax.lines[0] for ax in report.figure("layers").axes)
    assert np.asarray(curve.get_ydata()).tolist() == [e.estimate for e in report.layers.leave_prompt_out]
    assert np.asarray(share.get_ydata()).tolist() == [e.estimate for e in report.layers.separation]


@pytest.mark.parametrize(("option", "value"), [("--only", "pie"), ("--format", "bmp")])
def test_unknown_names_are_refused_with_the_choices(run: Run, option: str, value: str) -> None:
    refused = CliRunner().invoke(main, ["figures", str(run.path), option, value])
    assert refused.exit_code == 2
    assert value in refused.stderr
    assert "choose from" in refused.stderr


def test_one_that_is_asked_for_and_cannot_be_drawn_is_an_error(run: Run, tmp_path: Path) -> None:
    arguments = ["figures", str(run.path), "--only", "robustness", "--out", str(tmp_path), "--quiet"]
    refused = CliRunner().invoke(main, arguments)
    assert refused.exit_code == 2
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["figures", "report"])
def test_a_figure_that_cannot_be_written_leaves_the_others_to_be_drawn(
    run: Run, tmp_path: Path, command: str
) -> None:
    folder = tmp_path / ("figures" if command == "report" else "")
    (folder / "overview.png").mkdir(parents=True)
    options = ["--permutations", "9"] if command == "report" else ["--format", "png"]
    options += (
        ["--only", "overview", "--only", "projection", "--only", "pairs"] if command == "figures" else []
    )
    done = CliRunner().invoke(main, [command, str(run.path), "--out", str(tmp_path), "--quiet", *options])
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("margin: overview was not drawn: ")
    assert done.stderr.endswith("Is a directory\n")
    assert (folder / "projection.png").is_file()
    assert (folder / "pairs.png").is_file() == (command == "figures")
    assert not list(folder.glob(".*"))


def test_a_fault_in_a_figure_is_told_in_full_once_the_others_are_drawn(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(study: Study, canvas: Canvas) -> Figure:
        raise AttributeError("a fault of ours")

    monkeypatch.setitem(FIGURES, "silhouette", fault)
    names = [word for name in ("silhouette", "robustness", "pairs") for word in ("--only", name)]
    done = CliRunner().invoke(main, ["figures", str(run.path), "--out", str(tmp_path), *names, "--quiet"])
    assert done.exit_code == 70
    assert "silhouette was not drawn" in done.stderr
    assert "Traceback" in done.stderr
    assert "--controls" in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"pairs.pdf", "pairs.png"}


@pytest.mark.parametrize("backend", ["nowhere", "module://nowhere.backend_inline", "tkagg"])
def test_figures_are_drawn_whatever_window_a_notebook_asks_for(backend: str, tmp_path: Path) -> None:
    """In a program of its own, since matplotlib looks at the variable once."""
    code = (
        "import figures, matplotlib, os\n"
        f"assert os.environ['MPLBACKEND'] == {backend!r}\n"
        "fig = figures.figure()\n"
        "fig.add_subplot().plot([1, 2])\n"
        "figures.save(fig, 'figure.png')\n"
        "print(dict.__getitem__(matplotlib.rcParams, 'backend'))\n"
    )
    environment = os.environ | {"MPLBACKEND": backend, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "figure.png").is_file()
    assert (done.stdout.strip() == backend) == (
        backend != "nowhere"
    )  # one that is there is kept for its user


@pytest.mark.slow
def test_umap_is_drawn_where_numba_has_no_folder_for_what_it_compiles(tmp_path: Path) -> None:
    code = (
        "import numpy as np\n"
        "from numba.core import caching\n"
        "known = caching.CacheImpl._locator_classes\n"
        "known[:] = [each for each in known if 'UserProvided' in each.__name__]\n"  # no home, no package
        "from figures import project\n"
        "X = np.random.default_rng(0).normal(size=(30, 4))\n"
        "project(X, ['a', 'b'] * 15, [i // 2 for i in range(30)], 'umap')\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path)}
    environment.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("spoil", "style"), [("two prompts", "talk"), ("states all alike", "paper"), ("modes all alike", "paper")]
)
def test_a_run_of_little_gives_an_honest_figure_or_a_word(
    poor_run: Callable[[str], Run], spoil: str, style: StyleName
) -> None:
    run = poor_run(spoil)
    report = analyse(run, permutations=9)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ImportWarning)  # a part of UMAP that needs what is not installed
        drawn = {name for name in FIGURES if draws(report, name, style)}
        page = to_html(report)
    assert f"{len(run.prompts)} prompts under 3 modes" in page
    assert {"overview", "silhouette", "distributions", "waterfall", "pairs", "layers"} <= drawn
    assert ("projection" in drawn) == (spoil == "two prompts")
    assert "slices" not in drawn  # one slice is no slicing
    # At layer 0 every row's last token is the same: nothing to see there, raw or centred, in any run.
    views = len(run.layers) + 1
    nothing = {"two prompts": 2, "states all alike": 2 * views, "modes all alike": 1 + views}
    assert page.count(NOTHING) == nothing[spoil]


@pytest.mark.parametrize("command", ["report", "figures"])
def test_one_prompt_is_refused_in_one_line(
    poor_run: Callable[[str], Run], command: str, tmp_path: Path
) -> None:
    arguments = [command, str(poor_run("one prompt").path), "--out", str(tmp_path), "--quiet"]
    refused = CliRunner().invoke(main, arguments)
    assert refused.exit_code == 2
    assert refused.stderr.count("\n") == 1
    assert "two prompts" in refused.stderr


def draws(report: Report, name: str, style: StyleName) -> bool:
    """Whether the run holds enough for a figure; if not, it has to say so in a line."""
    try:
        fig = report.figure(name, style)
    except MarginError as error:
        if len(str(error).splitlines()) == 1:
            return False
        raise
    fig.draw_without_rendering()
    return True


def test_a_report_is_imported_whatever_window_a_notebook_asks_for() -> None:
    """`figures` mends the variable, so nothing may import matplotlib before it."""
    environment = os.environ | {"MPLBACKEND": "nowhere", "PYTHONPATH": os.pathsep.join(sys.path)}
    code = "import margin.report.figures"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
