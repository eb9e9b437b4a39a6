"""Every slow test, and the table of what the simulations among them measured: python -m tests.simulations.

Takes pytest's arguments, such as the name of a file or `-n 2`; only what is run anew is written anew. The
table is written after each test, so that a run which is broken off keeps what it has measured.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

Record = Callable[[str, Mapping[str, float]], None]
"""Keeps the figures measured at a setting, as the fixture `record_figures` does."""

FIGURES = "figures"
"""Name of the property of a test that holds what it recorded."""
ROOT = Path(__file__).resolve().parents[1]
TABLE = Path(__file__).with_name("SIMULATIONS.md")
CODE = ("margin", "probes", "figures", "tests", f":!{TABLE.relative_to(ROOT).as_posix()}")
COLUMNS = ("simulation", "setting", "figures", "outcome", "seconds", "date", "commit")
HEAD = f"""# What the simulations measured

Written by `python -m tests.simulations`, never by hand. Coverage is the share of simulations whose interval
holds the truth; a commit with a plus is one with changes that were not committed.

| {" | ".join(COLUMNS)} |
|{":--|" * len(COLUMNS)}
"""


def commit() -> str:
    """The commit of the code, with a plus where files differ from it; "none" outside of a repository."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout

    try:
        return git("rev-parse", "--short", "HEAD").strip() + "+" * bool(git("status", "-s", "--", *CODE))
    except (OSError, subprocess.CalledProcessError):
        return "none"


def line(cells: Mapping[str, str]) -> str:
    """One line of the table."""
    return "| " + " | ".join(cells[name].replace("|", r"\|") for name in COLUMNS) + " |"


class Recorder:
    """A plugin of pytest that writes what tests recorded into a table, in place of their earlier lines."""

    def __init__(self, table: Path) -> None:
        self._table = table
        self._commit = commit()
        text = table.read_text(encoding="utf-8") if table.exists() else ""
        self._lines: dict[str, list[str]] = {}
        for found in text.partition("|:--")[2].splitlines()[1:]:
            self._lines.setdefault(found.split(" | ")[0].removeprefix("| "), []).append(found)
        self._ran: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called in the main process, wherever the test ran."""
        if report.when != "call" or report.skipped:
            return
        recorded = [
            (str(value[0]), ", ".join(f"{name} {figure:.4g}" for name, figure in value[1].items()))
            for key, value in report.user_properties
            if key == FIGURES and isinstance(value, tuple)
        ]
        about = {
            "simulation": report.nodeid,
            "outcome": report.outcome,
            "seconds": f"{report.duration:.0f}",
            "date": f"{datetime.now(UTC):%Y-%m-%d}",
            "commit": self._commit,
        }
        self._lines[report.nodeid] = [
            line({**about, "setting": setting, "figures": figures})
            for setting, figures in recorded or [("", "")]
        ]
        self._ran.add(report.nodeid)
        self._write()

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Where all were to run, what did not is there no longer."""
        config = session.config
        chosen = config.args_source is pytest.Config.ArgsSource.ARGS or config.option.keyword
        if not chosen and exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            self._lines = {name: lines for name, lines in self._lines.items() if name in self._ran}
            self._write()

    def _write(self) -> None:
        lines = [one for name in sorted(self._lines) for one in self._lines[name]]
        self._table.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")


def main(arguments: list[str], table: Path = TABLE) -> int:
    """Run the slow tests that pytest's arguments choose, all by default; its exit code."""
    return int(pytest.main(["-m", "slow", "-s", *arguments], plugins=[Recorder(table)]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
