"""A light install reads, analyses, reports and gates; whatever needs an extra says which, in one line."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from shutil import copytree

import pytest

from margin import collect
from margin.demo import checkpoint_path, modes_path, prompts_path
from margin.extras import EXTRAS, MissingExtraError, require

ROOT = Path(__file__).resolve().parents[2]
BLOCKED = """
import runpy, sys

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, NotInstalled())
"""
ONLY_THERE = ("tokenizers", "huggingface_hub", "numba", "pynndescent", "trl", "datasets")
"""What comes with an extra's packages, and with nothing else."""
NEEDED = "pip install 'safety-margin[collect]'"
INPUTS = ("--prompts", str(prompts_path()), "--modes", str(modes_path()))
CHECKPOINT = str(checkpoint_path("cotrained"))


def light(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process where no package of an extra can be imported."""
    absent = {*ONLY_THERE, *(module for modules in EXTRAS.values() for module in modules)}
    return subprocess.run(
        [sys.executable, "-c", BLOCKED.format(absent=absent) + code],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])},
        capture_output=True,
        text=True,
        check=False,
    )


def margin(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command line in such a process."""
    argv = ["margin", *map(str, arguments)]
    return light(f"sys.argv = {argv!r}\nrunpy.run_module('margin', run_name='__main__')")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run made elsewhere, with all a reader may ask of one."""
    out = tmp_path_factory.mktemp("extras") / "run"
    collect(
        checkpoint_path("cotrained"),
        prompts=prompts_path(),
        modes=modes_path(),
        out=out,
        layers="all",
        limit=40,
        controls=["none", "random"],
        generate=4,
        decoys=0,
        quiet=True,
    )
    return out


def test_the_extras_are_those_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for extra, packages in EXTRAS.items():
        listed = {line.partition(">=")[0] for line in project["optional-dependencies"][extra]}
        assert listed == set(packages.values())
        assert not listed & {line.partition(">=")[0] for line in project["dependencies"]}


def test_a_light_install_does_everything_with_a_run(run: Path, tmp_path: Path) -> None:
    baseline = tmp_path / "baseline.json"
    for arguments in (
        ("--help",),
        ("info", run),
        ("probe", run),
        ("judge", run, "--judge", "refusal"),
        ("report", run, "--permutations", "19", "--zip", "--out", tmp_path / "report"),
        ("figures", run, "--only", "projection", "--out", tmp_path / "figures"),
        ("compare", run, copytree(run, tmp_path / "again")),
        ("baseline", run, "--out", baseline),
        ("check", run, "--baseline", baseline, "--max-drop", "0.5", "--max-leak", "0.5"),
        ("export", run, "--shareable", "--out", tmp_path / "shared"),
        ("export", run, "--inspect", "--every-eval-ever", "--model-index", "--out", tmp_path / "records"),
        ("export", run, "--points", "pca", "--out", tmp_path / "points"),
    ):
        done = margin(*arguments)
        assert done.returncode == 0, (arguments, done.stderr)
    assert (tmp_path / "report" / "report.html").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("demo", "--out", "OUT"),
        ("demo", "--quiet", "--out", "OUT"),
        ("collect", CHECKPOINT, *INPUTS, "--out", "OUT"),
        ("collect", CHECKPOINT, *INPUTS, "--out", "OUT", "--quiet"),
        ("sweep", CHECKPOINT, str(checkpoint_path("baseline")), *INPUTS, "--out", "OUT"),
        ("judge", "RUN", "--judge", "some/classifier"),
    ],
    ids=lambda arguments: " ".join(arguments[:2]) if "--quiet" in arguments else arguments[0],
)
def test_a_command_that_needs_an_extra_names_it_in_one_line(
    run: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    places = {"RUN": str(run), "OUT": str(tmp_path / "out")}
    done = margin(*(places.get(each, each) for each in arguments))
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("margin: running a model needs torch, transformers, peft, accelerate and gguf")
    assert line.endswith(NEEDED)
    assert not (tmp_path / "out").exists()


def test_figures_leave_the_projection_out_that_needs_umap(run: Path, tmp_path: Path) -> None:
    done = margin("figures", run, "--out", tmp_path, "--format", "png", "--quiet")
    assert done.returncode == 0, done.stderr
    assert "projection-umap was not drawn: a projection by umap needs umap-learn" in done.stderr
    assert "pip install 'safety-margin[umap]'" in done.stderr
    assert (tmp_path / "projection-tsne.png").exists()
    asked = margin("figures", run, "--out", tmp_path, "--only", "projection-umap")
    assert asked.returncode == 2
    assert asked.stderr.count("safety-margin[umap]") == 1
    assert "Traceback" not in asked.stderr


@pytest.mark.parametrize(
    "code",
    [
        "import margin; margin.collect",
        "from margin import load_head",
        "from margin.training import MarginCallback",
        "import margin.capture.checkpoint",
    ],
)
def test_from_python_it_is_an_error_of_both_kinds(code: str) -> None:
    done = light(
        "from margin.errors import MarginError\n"
        f"try:\n    exec({code!r})\n"
        "except MarginError as error:\n"
        "    assert isinstance(error, ModuleNotFoundError)\n    print(error)\n"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith(NEEDED)


def test_a_projection_of_own_arrays_names_the_extra() -> None:
    done = light(
        "import numpy as np\n"
        "from figures import project\n"
        "X = np.random.default_rng(0).normal(size=(30, 4))\n"
        "project(X, ['a', 'b'] * 15, [i // 2 for i in range(30)], 'umap')\n"
    )
    assert done.stderr.rstrip().endswith("needs umap-learn: pip install 'safety-margin[umap]'")


def test_only_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    require("collect", "running a model")
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(MissingExtraError, match=r"^running a model needs gguf: pip install"):
        require("collect", "running a model")
