"""The rules the house is built by, read from the imports of every file."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BENEATH = ("__init__", "text", "errors", "short", "streams", "console", "arguments", "extras", "launch")
APART = ("probes", "figures")
"""Folders of their own, which margin holds as rooms by links: margin/probes, margin/figures."""
ROOMS = (
    *BENEATH,
    "demo",
    "stats",
    *APART,
    "inputs",
    "run",
    "capture",
    "analysis",
    "study",
    "report",
    "gate",
    "experiments",
    "tracing",
    "training",
    "testing",
    "commands",
    "cli",
    "__main__",
)
"""Every file and folder of margin, in the order in which one may rest on another: capture writes the run's
format, analysis reads it."""
WITHOUT_TORCH = ("stats", "analysis", "study", "report", "gate")
"""What comes after the run on disk."""
FOR_OTHER_PACKAGES = {"stats", "errors", "arguments", "short"}
"""What probes and figures may rest on."""
HANDED_ON = {"margin.report.points", "margin.report.report"}
"""A class whose methods are short for functions that take it: these are imported within the methods."""
MODEL_LIBRARIES = {"torch", "transformers", "peft", "accelerate", "gguf"}
IN_A_TRAINING = "margin.training"
"""Runs within a training, where all of these are imported, and has a base class of transformers."""


def imports(source: str, package: str, deferred: bool) -> Iterator[str]:
    """Absolute names of what is imported; within functions too if `deferred`, never for types only."""
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: -node.level + 1 or None] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
        elif deferred or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)


def files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))  # which follows no link


def everything() -> list[Path]:
    return [path for package in ("margin", *APART) for path in files(package)]


def imported_by(path: Path, deferred: bool) -> set[str]:
    package = name(path.parent)
    return set(imports(path.read_text(encoding="utf-8"), package, deferred))


def room(module: str) -> str | None:
    """Room of a module: "analysis" of margin.analysis.sam; None of margin itself and what is not in it."""
    parts = module.split(".")
    return parts[1] if parts[0] == "margin" and len(parts) > 1 else None


def name(path: Path) -> str:
    """As it is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(("margin", *parts) if parts[0] in APART else parts)


@pytest.mark.parametrize(
    ("source", "deferred", "expected"),
    [
        ("import a.b, c", False, {"a.b", "c"}),
        ("from margin.run import run", False, {"margin.run", "margin.run.run"}),
        ("from ..run import files", False, {"margin.run", "margin.run.files"}),
        ("from .sam import sam", False, {"margin.analysis.sam", "margin.analysis.sam.sam"}),
        ("def f():\n    import torch", False, set()),
        ("def f():\n    import torch", True, {"torch"}),
        ("class A:\n    import torch", False, {"torch"}),
        ("try:\n    import torch\nexcept ImportError:\n    import jax", False, {"torch", "jax"}),
        ("if TYPE_CHECKING:\n    import torch\nelse:\n    import jax", True, {"jax"}),
    ],
)
def test_the_reader_of_imports_sees_them(source: str, deferred: bool, expected: set[str]) -> None:
    assert set(imports(source, "margin.analysis", deferred)) == expected


@pytest.mark.parametrize("package", APART)
def test_probes_and_figures_take_arrays_and_tables_not_the_package(package: str) -> None:
    assert files(package)
    for path in files(package):
        foreign = {
            module
            for module in imported_by(path, deferred=True)
            if (there := room(module)) is not None and there not in FOR_OTHER_PACKAGES | {package}
        }
        assert not foreign, f"{name(path)} imports {sorted(foreign)}"


def test_every_file_stands_in_a_room() -> None:
    assert {room(name(path)) for path in everything()} == set(ROOMS)


def test_no_room_imports_from_one_above_it() -> None:
    """A name taken from margin itself is one above all: it would import the room it comes from."""
    found = {}
    for path in everything():
        own = room(name(path))
        assert own is not None
        below = {None, *ROOMS[: ROOMS.index(own) + 1]}
        if above := sorted(m for m in imported_by(path, deferred=True) if room(m) not in below):
            found[name(path)] = above
    assert not found


def test_statistics_rest_on_nothing_but_what_lies_beneath() -> None:
    for path in files("margin/stats"):
        others = {m for m in imported_by(path, deferred=True) if room(m) not in {None, *FOR_OTHER_PACKAGES}}
        assert not others, f"{name(path)} imports {sorted(others)}"


def test_no_file_imports_one_that_imports_it() -> None:
    """Not by way of others either, nor within a function: what goes in a circle cannot be read alone."""
    modules = {name(path): path for path in everything()}
    graph = {
        module: (imported_by(path, deferred=module not in HANDED_ON) & modules.keys()) - {module}
        for module, path in modules.items()
    }
    TopologicalSorter(graph).prepare()  # CycleError names the files of a circle


def test_what_comes_after_the_run_on_disk_never_goes_back_to_the_model() -> None:
    for path in files("margin"):
        if room(name(path)) in WITHOUT_TORCH:
            behind = {m for m in imported_by(path, deferred=True) if room(m) == "capture"}
            assert not behind, f"{name(path)} imports {sorted(behind)}"


def test_only_capture_imports_a_model_library() -> None:
    """At module level; and nothing else imports capture there, which would import it in turn.

    The callback alone may, and nothing may import it in turn.
    """
    for path in files("margin"):
        if room(name(path)) == "capture" or name(path) == IN_A_TRAINING:
            continue
        heavy = {
            module
            for module in imported_by(path, deferred=False)
            if module.split(".")[0] in MODEL_LIBRARIES
            or room(module) == "capture"
            or module.startswith(IN_A_TRAINING)
        }
        assert not heavy, f"{name(path)} imports {sorted(heavy)} when it is imported"
