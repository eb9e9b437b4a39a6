"""What commands print at 60, 80 and 120 columns and into a pipe: all of it, and no line wider than that."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rich.cells import cell_len
from rich.console import Console

from margin.capture.collect import collect
from margin.cli import main
from margin.console import PlainConsole
from margin.demo import checkpoint_path, modes_path, prompts_path
from margin.gate.verdict import EXIT_CODES
from margin.report.analyse import analyse
from margin.report.grid import Grid
from margin.report.report import Report
from margin.report.terminal import print_summary, print_tables
from margin.streams import LOG_WIDTH

WIDTHS = (60, 80, LOG_WIDTH)
UNBROKEN = 2000
"""Columns at which nothing has to be wrapped."""
NUMBER = re.compile(r"[-+]?\d[\d.,]*\d|\d")
TOPIC = "很长的中文主题名称，以及 a long name of many words"
COMMANDS: dict[str, tuple[str, ...]] = {
    "info": ("info", "new"),
    "judge": ("judge", "new", "--judge", "refusal"),
    "judge --text": ("judge", "new", "--judge", "refusal", "--text"),
    "probe": ("probe", "new", "--transfer", "language"),
    "compare": ("compare", "old", "new", "--drop", "0.2"),
    "compare nested": ("compare", "new", "nested"),
    "check": ("check", "old", "--baseline", "new.json"),
    "check unchanged": ("check", "new", "--baseline", "new.json"),
    "check pairs": ("check", "new", "--baseline", "old.json", "--max-drop", "0.01", "--pairs"),
    "sweep": (
        *("sweep", str(checkpoint_path("baseline")), str(checkpoint_path("naive")), "--out", "sweep"),
        *("--prompts", "prompts.jsonl", "--modes", str(modes_path()), "--limit", "6", "--decoys", "0"),
        *("--controls", "none,near-miss", "--noise-prompts", "0"),
    ),
    "trace": (
        *("trace", str(checkpoint_path("naive")), "--prompts", "prompts.jsonl", "--modes", str(modes_path())),
        *("--limit", "6", "--decoys", "0", "--noise-prompts", "0", "--out", "traced"),
        *("--pair", "pos:neg", "--traced-layers", "1,3", "--doses", "1"),
    ),
    "secrecy": (
        *("secrecy", str(checkpoint_path("naive")), "--prompts", "prompts.jsonl"),
        *("--modes", str(modes_path()), "--limit", "6", "--out", "kept", "--candidates", "1000"),
        *("--tried", "1", "--confirmed", "2", "--draws", "1", "--passes", "50", "--answer", "8"),
    ),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of the shipped checkpoints under many conditions, and the baselines of two."""
    folder = tmp_path_factory.mktemp("wide")
    lines = prompts_path().read_text(encoding="utf-8").splitlines()[:40]
    records = [json.loads(line) | {"topic": f"{TOPIC} {i % 2}"} for i, line in enumerate(lines)]
    prompts = folder / "prompts.jsonl"
    prompts.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    for name, model, limit in (
        ("old", "baseline", None),
        ("new", "naive", None),
        ("nested", "naive", 30),
    ):
        collect(
            checkpoint_path(model),  # type: ignore[arg-type]
            prompts=prompts,
            modes=modes_path(),
            out=folder / name,
            limit=limit,
            layers="all",
            controls=("none", "near-miss", "user-turn"),
            generate=6 if name == "new" else 0,
            decoys=2,
            noise_prompts=0,
            quiet=True,
        )
    for name in ("old", "new"):
        run = ("baseline", str(folder / name), "--out", str(folder / f"{name}.json"), "--quiet")
        assert CliRunner().invoke(main, run).output == ""
    return folder


@pytest.fixture(scope="module")
def said(place: Path) -> Callable[[str, int], Result]:
    """What a command says at a width, run once each."""
    known: dict[str, dict[int, Result]] = {}

    def say(name: str, width: int) -> Result:
        if name not in known:  # all widths in a row, since commands find what others have written
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(place)
                known[name] = {}
                for columns in (*WIDTHS, UNBROKEN):
                    patch.setenv("COLUMNS", str(columns))
                    known[name][columns] = CliRunner().invoke(main, COMMANDS[name])
        return known[name][width]

    return say


def numbers(text: str) -> Counter[str]:
    return Counter(NUMBER.findall(text))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_is_cut_and_no_line_is_too_wide(
    said: Callable[[str, int], Result], name: str, width: int
) -> None:
    found, whole = said(name, width), said(name, UNBROKEN)
    assert found.exit_code == whole.exit_code
    assert found.exit_code in EXIT_CODES.values(), found.output
    for line in found.stdout.splitlines():
        assert cell_len(line) <= width, line
    assert "…" not in found.stdout
    # A table whose rows became paragraphs repeats its heads; a number that is cut would be another one.
    assert numbers(whole.stdout) <= numbers(found.stdout)
    assert set(numbers(found.stdout)) == set(numbers(whole.stdout))


@pytest.fixture(scope="module")
def report(place: Path) -> Report:
    """Of the run with answers."""
    return analyse(place / "new", permutations=9)


def printed(width: int, show: Callable[[Console], None]) -> str:
    """What is shown on a console of this width."""
    console = PlainConsole(width=width)
    with console.capture() as capture:
        show(console)
    return capture.get()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("what", ["summary", "tables"])
def test_nothing_of_a_report_is_cut(report: Report, what: str, width: int) -> None:
    def show(console: Console) -> None:
        if what == "summary":
            print_summary(report, console)
        else:  # but for digests, which are wider than some terminals
            print_tables([table for table in report.tables() if table.key != "provenance"], console)

    found, whole = (printed(columns, show) for columns in (width, UNBROKEN))
    assert max(map(cell_len, found.splitlines())) <= width
    assert "…" not in found
    assert numbers(whole) <= numbers(found)
    assert set(numbers(found)) == set(numbers(whole))


@pytest.mark.parametrize("name", ["info", "check", "judge"])
def test_a_pipe_is_as_wide_as_a_log(place: Path, name: str) -> None:
    environment = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
    command = [sys.executable, "-m", "margin", *COMMANDS[name]]
    done = subprocess.run(
        command, cwd=place, env=environment, capture_output=True, stdin=subprocess.DEVNULL, timeout=100
    )
    assert done.returncode in EXIT_CODES.values(), done.stderr
    widths = [cell_len(line) for line in done.stdout.decode().splitlines()]
    assert 80 < max(widths) <= LOG_WIDTH


def test_what_is_broken_comes_first_and_what_holds_is_a_line(said: Callable[[str, int], Result]) -> None:
    lines = said("check", UNBROKEN).stdout.splitlines()
    assert lines[0].startswith("REGRESSION  shown to be broken: overall")
    status = [line.split("  ")[0] for line in lines]
    assert status.index("regression") < status.index("limit not met")
    lines = said("check unchanged", UNBROKEN).stdout.splitlines()
    (held,) = (line for line in lines if line.startswith("held"))
    names = held.partition(": ")[2].split(", ")
    assert held.startswith(f"held, {len(names)}: overall, ")


def test_an_unchanged_checkpoint_has_limits_not_met_and_its_leaks_before(
    said: Callable[[str, int], Result],
) -> None:
    found = said("check unchanged", UNBROKEN)
    assert found.exit_code == 5
    assert "regression" not in {line.split("  ")[0] for line in found.stdout.splitlines()}
    (leak,) = (
        line for line in found.stdout.splitlines() if re.match(r"limit not met +leak:near-miss:neg", line)
    )
    assert re.search(r"1\.0000 +40 of 40 \[", leak)


def test_the_condition_that_leaks_most_is_named(said: Callable[[str, int], Result]) -> None:
    line = said("sweep", UNBROKEN).stdout.splitlines()[2]
    assert line.startswith("naive")
    assert re.search(r"1\.000 ≤ 1\.000 near-miss:neg$", line.rstrip())


def test_runs_of_one_checkpoint_are_not_to_be_settled(said: Callable[[str, int], Result]) -> None:
    nested, other = (said(name, UNBROKEN).stdout for name in ("compare nested", "compare"))
    assert "nested: the weights that it is compared with, so what differs is rounding" in nested
    assert "to settle it" not in nested
    assert "power at 0.2" in other
    assert "to settle it" in other
    assert "old: baseline\nnew: naive\n" in other


def test_judge_begins_with_what_each_mode_should_have_answered(said: Callable[[str, int], Result]) -> None:
    lines = said("judge", 80).stdout.splitlines()
    assert lines[0] == "What was answered  naive"
    assert {line.split()[0] for line in lines[4:7]} == {"pos", "neg", "rej"}
    assert len(lines) < 80


def test_quiet_is_the_same_in_every_command() -> None:
    helps = {
        option.help
        for command in main.commands.values()
        for option in command.params
        if "--quiet" in option.opts
    }
    assert len(helps) == 1


def test_a_grid_of_two_columns_is_a_table_where_it_fits() -> None:
    grid = Grid([("run", False), ("margin", True)])
    grid.add("a", "+0.231 [+0.211, +0.251]")

    def at(width: int) -> list[str]:
        text = printed(width, lambda console: console.print(grid))
        return [line.rstrip() for line in text.splitlines()]

    assert at(29) == ["run                   margin", "a    +0.231 [+0.211, +0.251]"]
    assert at(21) == ["run            margin", "a              +0.231", "     [+0.211, +0.251]"]
    assert at(18) == ["a", "  margin +0.231", "  [+0.211, +0.251]"]


def test_a_console_that_writes_into_a_file_is_as_wide_as_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    with open(os.devnull, "w", encoding="utf-8") as file:
        assert PlainConsole(file=file).width == LOG_WIDTH
        assert PlainConsole(file=file, width=30).width == 30
        monkeypatch.setenv("COLUMNS", "70")
        assert PlainConsole(file=file).width == 70
