"""What stands at a path is written through or replaced whole, by the umask; and only one fills a folder."""

from __future__ import annotations

import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest

from margin import figures
from margin.errors import MarginError, UnwritableError
from margin.run import files
from margin.run.files import append, is_partial, make_folder, remove_partial, write_atomic
from margin.run.folder import LOCK, locked, make_run_folder


def python(script: str, *arguments: object, **settings: Any) -> subprocess.Popen[str]:
    """A process that runs `script`; what it prints is read from its stdout."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **settings)


@pytest.fixture(params=["run", "figure"])
def write(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Both ways there are to write a file: a run's, and a figure's."""
    if request.param == "run":
        yield lambda path: write_atomic(path, b"new")
        return
    fig = plt.figure(figsize=(1, 1))
    yield lambda path: figures.save(fig, path)
    plt.close(fig)


@pytest.fixture
def umask() -> Iterator[Any]:
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("before", [None, b"", b"kept\n"])
@pytest.mark.parametrize("link", [False, True])
def test_what_cannot_be_added_in_full_leaves_the_file_as_it_was(
    tmp_path: Path, before: bytes | None, link: bool
) -> None:
    path = tmp_path / "summary.md"
    if before is not None:
        path.write_bytes(before)
    if link:
        (tmp_path / "link").symlink_to(path)
    script = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from margin.errors import UnwritableError; from margin.run.files import append\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))\n"  # as a disk that is full after 10 bytes
        "try: append(Path(sys.argv[1]), b'more than there is room for')\n"
        "except UnwritableError as error: print(error)"
    )
    said, _ = python(script, tmp_path / "link" if link else path).communicate(timeout=60)
    assert "File too large" in said
    assert (path.read_bytes() if path.exists() else None) == before
    append(path, b"end")
    assert path.read_bytes() == (before or b"") + b"end"


@pytest.mark.parametrize(("mask", "expected"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_new_file_has_the_mode_the_umask_leaves(
    write: Any, umask: Any, tmp_path: Path, mask: int, expected: int
) -> None:
    umask(mask)
    write(tmp_path / "file.png")
    assert mode(tmp_path / "file.png") == expected


@pytest.mark.parametrize(
    ("before", "mask", "expected"),
    [(0o600, 0o022, 0o600), (0o644, 0o077, 0o600), (0o664, 0o022, 0o644), (0o755, 0o022, 0o644)],
)
def test_a_file_that_is_replaced_never_becomes_more_open(
    write: Any, umask: Any, tmp_path: Path, before: int, mask: int, expected: int
) -> None:
    path = tmp_path / "file.png"
    path.write_bytes(b"old")
    path.chmod(before)
    umask(mask)
    write(path)
    assert mode(path) == expected
    assert path.read_bytes() != b"old"


def test_a_runs_folder_is_private_and_those_above_it_go_by_the_umask(umask: Any, tmp_path: Path) -> None:
    make_run_folder(tmp_path / "runs" / "one")
    make_folder(tmp_path / "reports" / "one")
    assert mode(tmp_path / "runs" / "one") == 0o700
    assert mode(tmp_path / "runs") == 0o755
    assert mode(tmp_path / "reports" / "one") == 0o755
    (tmp_path / "shared").mkdir(mode=0o770)
    before = mode(tmp_path / "shared")
    make_run_folder(tmp_path / "shared")
    assert mode(tmp_path / "shared") == before


def test_a_link_stays_and_what_it_leads_to_is_replaced(write: Any, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "target.png").write_bytes(b"old")
    for name, target in (("link.png", "there/target.png"), ("dangling.png", "there/none.png")):
        (tmp_path / name).symlink_to(target)
        write(tmp_path / name)
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / target).read_bytes() != b"old"
        assert (tmp_path / target).is_file()
    assert len(list((tmp_path / "there").iterdir())) == 2


def test_a_device_is_written_to(write: Any, tmp_path: Path) -> None:
    (tmp_path / "null.png").symlink_to(os.devnull)
    write(tmp_path / "null.png")
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)
    assert (tmp_path / "null.png").is_symlink()
    write_atomic(Path(os.devnull), b"new")
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_a_pipe_is_written_to(write: Any, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.png"
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    write(pipe)
    reader.join(timeout=20)
    assert got
    assert got[0] == b"new" or got[0].startswith(b"\x89PNG")
    assert stat.S_ISFIFO(pipe.stat().st_mode)


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "out.txt"])
def test_ones_own_output_is_written_behind_what_was_printed(tmp_path: Path, name: str) -> None:
    """A shell's `> out.txt` opened the file: replaced, or opened anew, what is printed would be lost."""
    script = (
        "import sys; from pathlib import Path; from margin.run.files import write_atomic, append\n"
        "path = Path(sys.argv[1])\n"
        "print('before'); write_atomic(path, b'file\\n'); append(path, b'more\\n')\n"
        "print('after')"
    )
    with (tmp_path / "out.txt").open("w") as out:
        subprocess.run([sys.executable, "-c", script, name], stdout=out, cwd=tmp_path, check=True)
    assert (tmp_path / "out.txt").read_text() == "before\nfile\nmore\nafter\n"
    if name != "out.txt":
        piped = subprocess.run([sys.executable, "-c", script, name], stdout=subprocess.PIPE, check=True)
        assert piped.stdout == b"before\nfile\nmore\nafter\n"


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda place: place / ("x" * 300), "File name too long"),
        (lambda place: place / "a\0b", "no file can have that name"),
        (lambda place: place / "gone" / "file", "No such file"),
        (lambda place: place / "file" / "file", "Not a directory"),
        (lambda place: place / "folder", "Is a directory"),
        (lambda place: place / "loop", "Too many levels"),
        (lambda place: place / "full", "No space left"),
        (lambda place: place / "astray", "No such file"),
    ],
)
def test_what_cannot_be_written_is_named(spoil: Any, says: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "full").symlink_to("/dev/full")
    (tmp_path / "astray").symlink_to("nowhere/at/all")
    path = spoil(tmp_path)
    for put in (write_atomic, append):
        with pytest.raises(UnwritableError, match=says) as refused:
            put(path, b"new")
        assert str(refused.value).startswith(f"cannot write {path}: ")
        assert isinstance(refused.value, OSError)
        assert isinstance(refused.value, MarginError)
    assert not [path for path in tmp_path.iterdir() if is_partial(path.name)]


def test_a_full_disk_names_the_file(tmp_path: Path) -> None:
    script = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from margin.run.files import write_atomic; from margin.errors import MarginError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))\n"
        "try: write_atomic(Path(sys.argv[1]), bytes(11))\n"
        "except MarginError as error: print(error)"
    )
    assert resource.RLIMIT_FSIZE is not None
    said, _ = python(script, tmp_path / "file").communicate(timeout=60)
    assert said == f"cannot write {tmp_path / 'file'}: File too large\n"
    assert list(tmp_path.iterdir()) == []


# Begins to write a file, says so, and never ends.
SLOW = """
import os, sys, time
from pathlib import Path
from margin.run.files import write_atomic
def fsync(descriptor):
    print("writing", flush=True)
    time.sleep(1000)
os.fsync = fsync
write_atomic(Path(sys.argv[1]), b"new")
"""


def test_only_what_dead_writers_left_is_removed(tmp_path: Path) -> None:
    """Two processes write on a slow disk; one is killed. What is a user's own is nobody's to remove."""
    mine = [".margin-notes", ".margin-", ".margin-0123456789abcdef.partial.bak", ".margin-lock.txt"]
    for name in mine:
        (tmp_path / name).write_text("mine")
    writers = [python(SLOW, tmp_path / name) for name in ("a", "b")]
    try:
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "writing\n"
        partial = {path for path in tmp_path.iterdir() if is_partial(path.name)}
        assert len(partial) == 2
        remove_partial(tmp_path)
        assert {path for path in tmp_path.iterdir() if is_partial(path.name)} == partial
        writers[0].kill()
        writers[0].wait()
        remove_partial(tmp_path)
        assert len([path for path in tmp_path.iterdir() if is_partial(path.name)]) == 1
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()
    remove_partial(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(mine)


def test_writers_and_cleaners_at_once_lose_nothing(tmp_path: Path) -> None:
    """A cleaner may come between the making of a temporary file and its being held."""
    script = (
        "import sys; from pathlib import Path; from margin.run.files import remove_partial\n"
        "print('ready', flush=True)\n"
        "while not (Path(sys.argv[1]) / 'end').exists(): remove_partial(Path(sys.argv[1]))"
    )
    cleaners = [python(script, tmp_path) for _ in range(2)]
    for cleaner in cleaners:
        assert cleaner.stdout is not None
        cleaner.stdout.readline()
    until = time.monotonic() + 3
    number = 0
    while time.monotonic() < until:
        write_atomic(tmp_path / f"{number % 7}", str(number).encode())
        assert (tmp_path / f"{number % 7}").read_text() == str(number)
        number += 1
    (tmp_path / "end").touch()
    for cleaner in cleaners:
        assert cleaner.communicate(timeout=60)[1] == ""
    assert number > 20


FILL = """
import sys, time
from pathlib import Path
from margin.run.folder import locked
with locked(Path(sys.argv[1])):
    print("filling", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def test_one_process_fills_a_folder(tmp_path: Path) -> None:
    first = python(FILL, tmp_path, 1000)
    try:
        assert first.stdout is not None
        assert first.stdout.readline() == "filling\n"
        with pytest.raises(MarginError) as refused, locked(tmp_path):
            pass
        assert f"process {first.pid} on {socket.gethostname()}" in str(refused.value)
        assert "\n" not in str(refused.value)
        assert first.poll() is None
    finally:
        first.send_signal(signal.SIGKILL)
        first.communicate()
    assert (tmp_path / LOCK).exists()
    with locked(tmp_path), pytest.raises(MarginError, match=f"process {os.getpid()} on"), locked(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_of_many_that_start_at_once_one_at_a_time_fills(tmp_path: Path) -> None:
    """The lock's file is removed by who held it, and may be opened by others just then."""
    script = """
import sys, time
from pathlib import Path
from margin.errors import MarginError
from margin.run.folder import locked
folder, inside, done = Path(sys.argv[1]), Path(sys.argv[1]) / "inside", 0
while done < 60:
    try:
        with locked(folder):
            inside.touch(exist_ok=False)  # fails where another is inside
            inside.unlink()
            done += 1
    except MarginError:
        pass
"""
    processes = [python(script, tmp_path) for _ in range(3)]
    for process in processes:
        _, errors = process.communicate(timeout=100)
        assert process.returncode == 0, errors
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_removed_meanwhile_stops_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with locked(folder):
        (folder / LOCK).unlink()
        folder.rmdir()
    with pytest.raises(UnwritableError, match="No such file"), locked(folder):
        pass


def test_a_disk_without_locks_is_said_and_nothing_is_removed_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No disk here is without locks: the system's answer is put in its place."""

    def none(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", none)
    (tmp_path / ".margin-0123456789abcdef.partial").touch()
    remove_partial(tmp_path)
    with locked(tmp_path):
        write_atomic(tmp_path / "file", b"new")
    assert "without locks" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {".margin-0123456789abcdef.partial", "file"}


def test_a_folder_with_somebody_elses_hidden_file_is_no_empty_one(tmp_path: Path) -> None:
    (tmp_path / ".margin-0123456789abcdef.partial").touch()
    (tmp_path / LOCK).touch()
    make_run_folder(tmp_path)
    (tmp_path / ".margin-notes").touch()
    with pytest.raises(MarginError, match="holds no run"):
        make_run_folder(tmp_path)


def test_names_of_temporary_files_fit_beside_the_longest_name(write: Any, tmp_path: Path) -> None:
    path = tmp_path / f"{'x' * 251}.png"
    write(path)
    assert path.is_file()
    assert files.is_partial(path.name) is False
