"""How a command ends: a reader that has gone, a signal, a second one, a folder or a launcher that is gone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from margin.cli import main
from margin.run.files import is_partial
from margin.run.run import open_run
from tests.margin.conftest import TOKENS

PATIENCE = 100
# The command line on a disk that takes a while for every file from a given one on, and says so.
SLOW = """
import os, sys, time
from margin.cli import main
fsync, fast = os.fsync, int(os.environ["FAST"])
def slow(descriptor):
    global fast
    os.write(2, b"syncing\\n")
    time.sleep(float(os.environ["SLOW"]) if fast <= 0 else 0)
    fast -= 1
    fsync(descriptor)
os.fsync = slow
main(prog_name="margin")
"""


@pytest.fixture(scope="module")
def place(saved_checkpoint: Path, prompts: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model/, prompts.jsonl, modes.toml, run/ and a copy of it."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "model").symlink_to(saved_checkpoint)
    lines = [json.dumps({"prompt": text, "kind": "ab"[i % 2]}) for i, text in enumerate(prompts)]
    (folder / "prompts.jsonl").write_text("\n".join(lines), encoding="utf-8")
    modes = [f"[modes.{n}]\ntoken = '{t}'\nsafe = {str(n != 'neg').lower()}" for n, t in TOKENS.items()]
    (folder / "modes.toml").write_text("\n".join(modes), encoding="utf-8")
    assert subprocess.run([*MARGIN, *COLLECT, "run"], cwd=folder, capture_output=True).returncode == 0
    shutil.copytree(folder / "run", folder / "copy")
    return folder


MARGIN = (sys.executable, "-m", "margin")
COLLECT = (
    "collect",
    "model",
    "--prompts",
    "prompts.jsonl",
    "--modes",
    "modes.toml",
    "--decoys",
    "0",
    "--quiet",
    "--out",
)


def shell(line: str, place: Path) -> subprocess.CompletedProcess[str]:
    """A line of bash in which `margin` is the command; its status is that of the first of a pipe."""
    script = f'margin() {{ "{sys.executable}" -m margin "$@"; }}; {line}; exit ${{PIPESTATUS[0]}}'
    return subprocess.run(["bash", "-c", script], cwd=place, capture_output=True, text=True, timeout=PATIENCE)


@pytest.mark.parametrize(
    ("command", "written"),
    [
        ("report run --permutations 9 --out unread | head -c 1", "unread/figures/overview.png"),
        ("report run --permutations 9 --out unread-json --json | true", "unread-json/report.html"),
        (
            "figures run --only pairs --format svg --out unread-figures --quiet | true",
            "unread-figures/pairs.svg",
        ),
        ("compare run copy | true", ""),
    ],
)
def test_a_reader_that_has_heard_enough_ends_the_talk_and_not_the_work(
    place: Path, command: str, written: str
) -> None:
    done = shell(f"margin {command}", place)
    assert "Traceback" not in done.stderr
    assert "Broken" not in done.stderr
    assert done.returncode == 0, done.stderr
    assert (place / written).exists()


def test_a_verdict_is_not_changed_by_who_reads_it(place: Path) -> None:
    assert shell("margin baseline run --out base.json", place).returncode == 0
    check = "margin check run --baseline base.json --min-margin 0.99"
    for end in ("> /dev/null", "| true", ">&- 2>&-"):
        assert shell(f"{check} {end}", place).returncode == 5


def test_output_that_has_no_room_is_an_error(place: Path) -> None:
    for command in ("info run", "compare run copy", "compare run copy --json"):
        done = shell(f"margin {command} > /dev/full", place)
        assert done.returncode == 2
        assert done.stderr.splitlines()[-1].startswith("margin: cannot write to standard output: No space")
        assert "Traceback" not in done.stderr


def heed_signals() -> None:
    """As in a terminal, whatever started the tests: a shell's background jobs ignore interrupts."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def start(place: Path, *arguments: str, slow: float, fast: int = 0) -> subprocess.Popen[str]:
    """The command `arguments` with `slow` seconds a file, once `fast` files were written."""
    return subprocess.Popen(
        [sys.executable, "-c", SLOW, *arguments],
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"SLOW": str(slow), "FAST": str(fast)},
        preexec_fn=heed_signals,
    )


def wait_for_files(process: subprocess.Popen[str], count: int) -> None:
    """Until so many files are being, or were, written."""
    assert process.stderr is not None
    for _ in range(count):
        line = process.stderr.readline()
        assert line == "syncing\n", line


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_ends_collecting_in_a_line_and_it_goes_on_later(
    place: Path, number: signal.Signals, status: int
) -> None:
    out = place / f"signalled-{number}"
    process = start(place, *COLLECT, out.name, slow=0.3)
    wait_for_files(process, 3)
    process.send_signal(number)
    said, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == status, errors
    lines = [line for line in errors.splitlines() if line != "syncing"]
    assert lines == ["margin: interrupted; what was written is kept"]
    assert said == ""
    assert not list(out.rglob(".*"))
    again = subprocess.run([*MARGIN, *COLLECT, out.name], cwd=place, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    open_run(out)


@pytest.mark.parametrize("fast", [0, 3])
def test_asked_twice_it_ends_at_once_and_without_a_traceback(place: Path, fast: int) -> None:
    """While the first file is written, and while a shard is, which it would wait for."""
    process = start(place, *COLLECT, "twice", slow=60, fast=fast)
    wait_for_files(process, fast + 1)
    started = time.monotonic()
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
    _, errors = process.communicate(timeout=PATIENCE)
    assert time.monotonic() - started < 30
    assert process.returncode in (130, -signal.SIGINT)  # a shell says 130 to both
    assert "Traceback" not in errors


def test_figures_that_are_stopped_leave_nothing_half_written(place: Path) -> None:
    process = start(place, "figures", "run", "--out", "stopped", "--quiet", slow=0.5)
    wait_for_files(process, 2)
    process.terminate()
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 143, errors
    assert {path.suffix for path in (place / "stopped").iterdir()} <= {".pdf", ".png"}

    process = start(place, "figures", "run", "--out", "stopped", "--quiet", slow=0.5)
    wait_for_files(process, 2)
    process.kill()
    process.communicate()
    assert [path for path in (place / "stopped").iterdir() if is_partial(path.name)]
    done = shell("margin figures run --out stopped --only pairs --quiet", place)
    assert done.returncode == 0, done.stderr
    assert not [path for path in (place / "stopped").iterdir() if path.name.startswith(".")]


def test_a_folder_that_is_deleted_meanwhile_is_one_line(place: Path) -> None:
    process = start(place, *COLLECT, "deleted", slow=0.5)
    wait_for_files(process, 2)
    shutil.rmtree(place / "deleted")
    _, errors = process.communicate(timeout=PATIENCE)
    lines = [line for line in errors.splitlines() if line != "syncing"]
    assert process.returncode == 2, errors
    assert len(lines) == 1
    assert "deleted" in lines[0]


def test_a_second_command_is_kept_out_of_the_folder(place: Path) -> None:
    first = start(place, *COLLECT, "shared", slow=3)
    wait_for_files(first, 1)
    second = subprocess.run([*MARGIN, *COLLECT, "shared"], cwd=place, capture_output=True, text=True)
    assert second.returncode == 2
    assert second.stderr.startswith(f"margin: shared is being filled by process {first.pid} on ")
    assert len(second.stderr.splitlines()) == 1
    first.kill()
    first.communicate()
    third = subprocess.run([*MARGIN, *COLLECT, "shared"], cwd=place, capture_output=True, text=True)
    assert third.returncode == 0, third.stderr
    open_run(place / "shared")
    assert not list((place / "shared").rglob(".*"))


@pytest.mark.parametrize(
    ("out", "says"),
    [
        ("x" * 300, "File name too long"),
        ("", "the name is empty"),
        ("prompts.jsonl", "is a file"),
        ("prompts.jsonl/run", "Not a directory"),
        ("loop/run", "Too many levels"),
        ("/proc/run", "No such file"),
    ],
)
def test_folders_that_cannot_be_are_one_line(
    place: Path, out: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    (place / "loop").unlink(missing_ok=True)
    (place / "loop").symlink_to("loop")
    for command in (COLLECT, ("report", "run", "--permutations", "9", "--out"), ("baseline", "run", "--out")):
        if command[0] == "baseline" and says == "is a file":
            continue  # a file is what it writes
        done = CliRunner().invoke(main, [*command, out])
        line = done.stderr.splitlines()[-1]
        assert done.exit_code == 2, line
        assert "Traceback" not in done.output
        assert says in line or "it is no folder" in line, (command, line)


def test_ranks_end_when_their_launcher_is_killed(place: Path) -> None:
    """torchrun, killed by SIGKILL, ends nobody: its ranks look after it themselves."""
    script = place / "rank.py"
    script.write_text(SLOW, encoding="utf-8")
    launcher = subprocess.Popen(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"),
            *(str(script), *COLLECT, "launched", "--device", "cpu"),
        ],
        cwd=place,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"SLOW": "200", "FAST": "0", "OMP_NUM_THREADS": "1"},
    )
    try:
        assert launcher.stderr is not None
        while (line := launcher.stderr.readline()) != "syncing\n":
            assert line, "ended before it wrote a file"
        ranks = psutil.Process(launcher.pid).children()
        assert len(ranks) == 2
        launcher.kill()
        _, alive = psutil.wait_procs(ranks, timeout=60)
        assert alive == []
    finally:
        launcher.kill()
        for rank in ranks:
            if rank.is_running():
                rank.kill()
        launcher.communicate()


def test_closed_streams_are_no_fault(place: Path) -> None:
    """Of a service or a cron job: what is said of progress asks whether anybody sees it."""
    done = shell(
        "margin collect model --prompts prompts.jsonl --modes modes.toml --decoys 0 --out unseen 2>&-", place
    )
    assert (done.returncode, "rows" in done.stdout) == (0, True)
    assert shell("margin judge run --judge no-such-judge 2>&-", place).returncode == 2
    assert shell("margin figures run --only silhouette --format png >&- 2>&-", place).returncode == 0
    secrecy = "margin secrecy no-such-model --prompts prompts.jsonl --modes modes.toml --out unsafe 2>&-"
    assert shell(secrecy, place).returncode == 2


def test_an_error_that_cannot_be_said_keeps_its_code(place: Path) -> None:
    assert shell("margin info nowhere 2> /dev/full", place).returncode == 2  # 1 would be a regression


def test_a_folder_that_is_gone_from_under_the_command_is_one_line(place: Path) -> None:
    done = shell(
        f"mkdir gone; cd gone; rmdir ../gone; margin collect {place}/model --prompts {place}/prompts.jsonl "
        f"--modes {place}/modes.toml --out run --quiet",
        place,
    )
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_ctrl_c_while_libraries_are_imported_says_nothing(tmp_path: Path) -> None:
    """A stand-in for a library, which is interrupted as it is imported."""
    stops = "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n"
    (tmp_path / "click.py").write_text(stops, encoding="utf-8")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", "margin", "--version"],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=heed_signals,
    )
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")
