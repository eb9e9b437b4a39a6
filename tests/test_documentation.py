"""What the documentation shows is what happens: examples run, commands exist, the site stands by itself."""

from __future__ import annotations

import doctest
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest
from click import Group

import margin
from margin import figures, probes
from margin.cli import main

ROOT = Path(__file__).resolve().parents[1]
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PACKAGES = (margin, probes, figures)
PUBLIC = [
    pytest.param(module, name, id=f"{module.__name__}.{name}")
    for module in PACKAGES
    for name in module.__all__
]


def examples(item: object, name: str) -> list[doctest.DocTest]:
    """The examples of a public name, of its methods too."""
    home = sys.modules.get(getattr(item, "__module__", ""))
    found = doctest.DocTestFinder(recurse=inspect.isclass(item)).find(
        item, name, globs=dict(vars(home)) if home else {}
    )
    return [test for test in found if test.examples]


def failures(tests: list[doctest.DocTest]) -> str:
    """What doctest says of examples that do not give what they show."""
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    for test in tests:
        runner.run(test, out=said.append)
    return "".join(said)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder that holds the run which the example of `margin.collect` makes."""
    place = tmp_path_factory.mktemp("examples")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        assert not failures(examples(margin.collect, "collect"))
    return place


@pytest.mark.parametrize(("module", "name"), PUBLIC)
def test_examples_of_the_public_interface_give_what_they_show(
    module: ModuleType, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    item = getattr(module, name)
    tests = examples(item, name)
    assert tests or not inspect.isfunction(item), "a public function shows an example"
    assert not (said := failures(tests)), said


@pytest.mark.parametrize("module", PACKAGES, ids=lambda module: module.__name__)
def test_examples_of_the_packages_give_what_they_show(
    module: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert not (said := failures(examples(module, module.__name__))), said


@pytest.mark.parametrize(
    "page", [p for p in PAGES if ">>>" in p.read_text(encoding="utf-8")], ids=lambda p: p.name
)
def test_examples_on_pages_give_what_they_show(
    page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    failed, tried = doctest.testfile(str(page), module_relative=False, optionflags=OPTIONS)
    assert tried
    assert not failed


def shell_lines(text: str) -> Iterator[str]:
    """Command lines of `margin` in code blocks and spans, comments and continuations resolved."""
    blocks = re.findall(r"```(?:bash|sh)\n(.*?)```", text, re.S)
    spans = re.findall(r"`(margin [^`]+)`", text)
    for line in [*(line for block in blocks for line in block.replace("\\\n", " ").splitlines()), *spans]:
        if found := re.match(
            r"(?:torchrun \S+ \S+ -m )?margin (.*)", line.partition(" #")[0].replace("\n", " ")
        ):
            yield found[1]


def test_commands_on_pages_know_what_they_are_asked() -> None:
    assert isinstance(main, Group)
    seen = 0
    for page in PAGES:
        for line in shell_lines(page.read_text(encoding="utf-8")):
            name, *words = line.split()
            assert name in main.commands, f"{page.name}: margin {line}"
            known = {option for each in main.commands[name].params for option in each.opts}
            unknown = {word.partition("=")[0] for word in words if word.startswith("--")} - known
            assert not unknown, f"{page.name}: margin {line} has no {sorted(unknown)}"
            seen += 1
    assert seen > 20


class Assets(HTMLParser):
    """What a page loads by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "link" and given.get("rel") not in ("canonical", "next", "prev"):
            self.loaded.append(given.get("href") or "")
        elif tag != "a":
            self.loaded.append(given.get("src") or "")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built with warnings as errors."""
    place = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(place)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return place


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        assets = Assets()
        assets.feed(page.read_text(encoding="utf-8"))
        assert not [name for name in assets.loaded if re.match(r"(\w+:)?//", name)], page


@pytest.mark.parametrize("module", PACKAGES, ids=lambda module: module.__name__)
def test_the_reference_holds_all_that_is_public(site: Path, module: ModuleType) -> None:
    page = (site / "reference" / f"{module.__name__.rpartition('.')[2]}.html").read_text(encoding="utf-8")
    for name in module.__all__:
        assert f'id="{module.__name__}.{name}"' in page
