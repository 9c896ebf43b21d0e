"""The command where its output is absent, closed, full or of a small encoding: it runs, and its exit code is right."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

import pytest

from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.flows.display.text_escaping import one_line
from climate_ref_prefect.store.sql.database_location import sqlite_url
from climate_ref_prefect.store.sql.sql_store import open_store
from climate_ref_prefect.testing.processes import wait_until
from tests.flows.temporary_site import environment
from tests.flows.unsafe_texts import SHOWN
from tests.store.example_values import allocate, coordinated, definition, failure

PRINTING = """
import os, sys
from climate_ref_prefect.flows.cli.console import PlainConsole
from climate_ref_prefect.flows.cli.standard_streams import usable_standard_streams
with usable_standard_streams():
    opened = os.open("opened", os.O_CREAT | os.O_WRONLY)
    console, errors = PlainConsole(), PlainConsole(errors=True)
    for number in range(int(sys.argv[1])):
        console.print(f"line {number}: 3 \\N{DEGREE SIGN}C \\x1b[2J")
    errors.print("to stderr")
    print("by print")
    os.system("echo from a program")
    print("ran", file=open("ran", "w"))
    assert opened > 2
    sys.exit(3)
"""
"""Prints much to both streams, opens a file that must not become one of them, and ends with code 3."""

_ALMOST_A_PIPE_BYTES = 60_000
SMALL_ENCODINGS: Mapping[str, Mapping[str, str]] = {
    "ascii": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "posix": {"LC_ALL": "POSIX"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "strict ascii": {"PYTHONIOENCODING": "ascii:strict"},
}


def run_in_shell(directory: Path, redirection: str, lines: int = 3, more: Mapping[str, str] | None = None) -> "Ended":
    """Run the program above with its streams as a shell makes them; the code is its own, not that of a pipe."""
    script = f'set -o pipefail; "$@" {redirection}'
    return run(["bash", "-c", script, "bash", sys.executable, "-c", PRINTING, str(lines)], directory, more or {})


def waiting_bytes(pipe: IO[bytes] | None) -> int:
    """Return how much has been written into a pipe and not been read yet."""
    assert pipe is not None
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


Ended = subprocess.CompletedProcess[bytes]


def run(command: list[str], directory: Path, more: Mapping[str, str]) -> Ended:
    return subprocess.run(
        command, cwd=directory, env={**environment(), **more}, capture_output=True, check=False, timeout=120
    )


@pytest.mark.parametrize(
    "redirection",
    [
        ">&-",
        "2>&-",
        "<&- >&- 2>&-",
        "| true",
        "2>&1 | head -n 1",
        "> /dev/null 2> >(true)",
        "2> /dev/full",
    ],
)
def test_streams_that_are_not_there_change_nothing(tmp_path: Path, redirection: str) -> None:
    ended = run_in_shell(tmp_path, redirection, lines=20_000)
    assert ended.returncode == 3, ended.stderr
    assert (tmp_path / "ran").read_bytes() == b"ran\n"
    assert (tmp_path / "opened").read_bytes() == b""


def test_a_full_disk_is_reported_if_everything_else_succeeded(tmp_path: Path) -> None:
    program = PRINTING.replace("sys.exit(3)", "sys.exit(0)")
    ended = run(["bash", "-c", '"$@" > /dev/full', "bash", sys.executable, "-c", program, "3"], tmp_path, {})
    assert ended.returncode == 1
    assert b"Not all could be printed: No space left on device" in ended.stderr
    assert run_in_shell(tmp_path, "> /dev/full").returncode == 3


def test_a_terminal_that_is_gone(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", f"import sys; sys.stdin.read()\n{PRINTING}", "20000"],
        cwd=tmp_path,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=theirs,
        stderr=theirs,
    ) as started:
        os.close(theirs)
        os.close(ours)
        started.communicate(b"", timeout=120)
    assert started.returncode == 3
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("locale", SMALL_ENCODINGS)
def test_what_an_encoding_does_not_have_is_printed_as_an_escape(tmp_path: Path, locale: str) -> None:
    ended = run_in_shell(tmp_path, "", more=SMALL_ENCODINGS[locale])
    assert ended.returncode == 3, ended.stderr
    line = ended.stdout.splitlines()[0]
    assert line.startswith(b"line 0: 3 ")
    assert line.endswith(rb"C \x1b[2J")
    assert any(degree in line for degree in (rb"\xb0C", b"\xb0C", "°C".encode()))


def test_a_stream_that_is_made_non_blocking_is_waited_for(tmp_path: Path) -> None:
    program = "import os; os.set_blocking(1, False)\n" + PRINTING
    with subprocess.Popen(
        [sys.executable, "-c", program, "20000"], cwd=tmp_path, env=environment(), stdout=subprocess.PIPE
    ) as started:
        assert started.stdout is not None
        wait_until(lambda: waiting_bytes(started.stdout) > _ALMOST_A_PIPE_BYTES)
        printed, _ = started.communicate(timeout=120)
    assert started.returncode == 3
    assert printed.count(b"\nline ") == 19_999


@pytest.fixture
def recorded(tmp_path: Path) -> Mapping[str, str]:
    """The environment for a state directory with an execution for each odd text, which it failed with and logged."""
    home = tmp_path / "Zürich state"
    home.mkdir()
    with coordinated(sqlite_url(home / "climate-ref-prefect.db")) as store:
        for number, said in enumerate(SHOWN):
            row = allocate(store, definition(f"Model{number}"))
            store.finalise(row.execution_id, failure(FailureKind.DIAGNOSTIC_ERROR, retryable=False, message=said))
            directory = home / "scratch" / row.fragment
            directory.mkdir(parents=True)
            (directory / "run.log").write_bytes(said.encode(errors="surrogateescape") + b"\n")
    return {"CLIMATE_REF_PREFECT_HOME": str(home)}


def first_log(recorded: Mapping[str, str]) -> tuple[str, Path]:
    """Return the number of the first execution and where its log is."""
    home = Path(recorded["CLIMATE_REF_PREFECT_HOME"])
    with open_store(sqlite_url(home / "climate-ref-prefect.db")) as store:
        (row,) = store.executions(execution_ids=[1])
    return "1", home / "scratch" / row.fragment / "run.log"


COMMAND = [sys.executable, "-c", "from climate_ref_prefect.flows.cli.main import main; main()"]


def on_a_terminal(directory: Path, more: Mapping[str, str], *arguments: str) -> tuple[int, str]:
    """Run the command on a terminal of 200 columns; return its exit code and what the terminal got."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 50, 200, 0, 0))
    environ = {**environment(), "TERM": "xterm", **more}
    environ.pop("COLUMNS", None)  # would overrule the terminal; processes among which tests are shared out have it
    with subprocess.Popen([*COMMAND, *arguments], cwd=directory, env=environ, stdout=theirs, stderr=theirs) as started:
        os.close(theirs)
        got = b""
        with suppress(OSError):  # EIO is the end of what a terminal gets
            while chunk := os.read(ours, 1 << 16):
                got += chunk
        os.close(ours)
    return started.returncode, got.decode()


class TestCommand:
    """`status` and `log`, as people and programs call them."""

    def test_status_shows_every_message_as_text(self, tmp_path: Path, recorded: Mapping[str, str]) -> None:
        more = {**recorded, **SMALL_ENCODINGS["posix"]}
        shown = run([*COMMAND, "status"], tmp_path, more)
        assert (shown.returncode, shown.stderr) == (0, b"")
        text = shown.stdout.decode()
        assert all(one_line(said) in text for said in SHOWN)
        code, on_terminal = on_a_terminal(tmp_path, recorded, "status")
        assert code == 0
        assert all(one_line(said) in on_terminal for said in SHOWN)
        assert "\x1b]" not in on_terminal

    def test_a_log_goes_into_a_pipe_byte_by_byte_and_to_a_terminal_as_text(
        self, tmp_path: Path, recorded: Mapping[str, str]
    ) -> None:
        number = 1 + list(SHOWN).index("\x1b]0;title\x07 and \x1b[2J")
        piped = run([*COMMAND, "log", str(number)], tmp_path, recorded)
        assert (piped.returncode, piped.stdout) == (0, b"\x1b]0;title\x07 and \x1b[2J\n")
        code, shown = on_a_terminal(tmp_path, recorded, "log", str(number))
        assert (code, shown) == (0, "\\x1b]0;title\\x07 and \\x1b[2J\r\n")

    def test_a_long_log_is_shown_without_its_middle(self, tmp_path: Path, recorded: Mapping[str, str]) -> None:
        number, log = first_log(recorded)
        log.write_bytes(b"first\n" + b"x" * 2_000_000 + b"\nlast\n")
        code, shown = on_a_terminal(tmp_path, recorded, "log", number)
        assert code == 0
        assert shown.startswith("first\r\n")
        assert shown.endswith("\r\nlast\r\n")
        assert "[... 1000012 bytes left out; all are in " in shown
        with log.open("r+b") as file:
            file.truncate(10**12)  # a file with a hole
        counted = run(
            ["bash", "-c", f'set -o pipefail; "$@" log {number} | wc -c', "bash", *COMMAND], tmp_path, recorded
        )
        assert counted.returncode == 0
        assert int(counted.stdout) < 300_000_000

    def test_without_any_stream(self, tmp_path: Path, recorded: Mapping[str, str]) -> None:
        for redirection, code in (("<&- >&- 2>&-", 0), (">&-", 0), ("--limit 1 >&-", 0), ("--nonesuch >&- 2>&-", 2)):
            ended = run(["bash", "-c", f'"$@" status {redirection}', "bash", *COMMAND], tmp_path, recorded)
            assert (ended.returncode, ended.stderr) == (code, b""), redirection

    @pytest.mark.parametrize("kind", ["link", "pipe", "directory"])
    def test_a_log_that_is_no_file_is_not_printed(self, tmp_path: Path, recorded: Mapping[str, str], kind: str) -> None:
        number, log = first_log(recorded)
        log.unlink()
        if kind == "link":
            log.symlink_to("/etc/passwd")
        elif kind == "pipe":
            os.mkfifo(log)
        else:
            log.mkdir()
        ended = run([*COMMAND, "log", number], tmp_path, recorded)
        assert (ended.returncode, ended.stdout) == (2, b"")
        assert b"run.log" in ended.stderr
