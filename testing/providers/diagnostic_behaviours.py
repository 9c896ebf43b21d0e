"""Harmful and harmless behaviours of diagnostics, each a function of the output directory."""

import ctypes
import io
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from climate_ref_prefect.diagnostics.errors import DiagnosticError
from climate_ref_prefect.diagnostics.execution_result import ExecutionResult
from climate_ref_prefect.diagnostics.metric_bundle import MetricBundle
from climate_ref_prefect.diagnostics.output_bundle import OutputBundle, OutputFile
from climate_ref_prefect.execution.host.process_identity import process_start

state: list[str] = []
"""Grows in each child that runs here: a child that saw another's state would find it."""


def raise_error(error: BaseException) -> Callable[[Path], None]:
    def act(_: Path) -> None:
        raise error

    return act


def raise_from_itself(_: Path) -> None:
    try:
        1 / 0  # noqa: B018 - for its error
    except ZeroDivisionError as error:
        raise error from error


def close_output(output: Path) -> None:
    sys.stdout = (output / "steps.log").open("w", encoding="utf-8")
    print("step 1")  # noqa: T201 - this is what is tested
    sys.stdout.close()


def wrap_output(_: Path) -> None:
    sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding="utf-8")
    sys.stdout.close()


def close_error_output(_: Path) -> None:
    sys.stderr.close()
    logging.getLogger("after").info("hPa after the end")


def detach_error_output(_: Path) -> None:
    sys.stderr.detach()  # type: ignore[union-attr]
    logging.getLogger("after").info("hPa %d", "after the end")


def close_error_output_and_fail(_: Path) -> None:
    sys.stderr.close()
    raise ValueError("told in the log")


class NoFlush:
    """A stream that has no `flush`."""

    def write(self, text: str) -> int:
        return len(text)


class BadFlush(NoFlush):
    """A stream whose `flush` ends the program."""

    def flush(self) -> None:
        raise SystemExit(5)


def replace_output(stream: object) -> Callable[[Path], None]:
    def act(_: Path) -> None:
        sys.stdout = sys.stderr = stream

    return act


def segfault(_: Path) -> None:
    ctypes.string_at(0)


def kill_self(_: Path) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hang(_: Path) -> None:
    print("hanging", flush=True)  # noqa: T201 - this goes to run.log
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)


def wait_for(*paths: Path) -> None:
    while not all(path.exists() for path in paths):
        time.sleep(0.01)


def note_process(path: Path) -> None:
    """Write the pid and the start time of this process; the file is complete once it is there."""
    temporary = path.with_suffix(".new")
    temporary.write_text(f"{os.getpid()} {process_start(os.getpid())}", encoding="utf-8")
    temporary.rename(path)


_NOTE_AND_STAY = """
import os, sys, time
started = open("/proc/self/stat").read().rpartition(")")[2].split()[19]
with open(sys.argv[1] + ".new", "w") as file:
    file.write(f"{os.getpid()} {started}")
os.rename(sys.argv[1] + ".new", sys.argv[1])
time.sleep(600)
"""
"""The same as `note_process`, in an interpreter that has nothing to import."""


def leave_tree(output: Path, then: Callable[[Path], None]) -> None:
    """Start grandchildren that detach in every way known, note which they are, then go on."""
    notes = [output / f"pid{number}" for number in range(3)]
    for note in notes[:2]:
        subprocess.Popen([sys.executable, "-S", "-c", _NOTE_AND_STAY, str(note)], start_new_session=True)
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            note_process(notes[2])
            os.execve("/bin/sleep", ["sleep", "600"], {})
        os._exit(0)
    wait_for(*notes)
    then(output)


def leave_chain(output: Path) -> None:
    """Start a chain of detached processes, each the only parent of the next, then stay."""
    notes = [output / f"pid{number}" for number in range(4)]
    for note in notes:
        if os.fork():
            break
        os.setsid()
        note_process(note)
    wait_for(*notes)
    time.sleep(600)


def wait_to_go(output: Path) -> None:
    """Write a file when it has started, then wait for the signal to go on."""
    (output / "started").touch()
    wait_for(output / "go")


def work(_: Path) -> None:
    """Use processor and memory for long enough to be measured."""
    block = bytearray(b"x") * (40 << 20)
    end = time.process_time() + 0.3
    while time.process_time() < end:
        block[0] ^= 1


def fill_disk(output: Path) -> None:
    with (output / "filling").open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * (1 << 16))


def allocate(output: Path) -> None:
    blocks = []
    for _ in range(60):
        blocks.append(b"x" * (20 << 20))
        time.sleep(0.02)


def print_much(_: Path) -> None:
    line = "x" * (1 << 20)
    for _number in range(300):
        print(line)  # noqa: T201 - this goes to run.log


def print_odd_letters(_: Path) -> None:
    print("3 \N{DEGREE SIGN}C \udcff")  # noqa: T201 - this goes to run.log
    print("\N{GREEK SMALL LETTER MU}", file=sys.stderr)  # noqa: T201 - the same


def see_state(_: Path) -> None:
    state.append("mine")
    if len(state) != 1 or Path.cwd().name != "output":
        raise DiagnosticError(f"{state} in {Path.cwd()}")


def escape_by_link(output: Path) -> ExecutionResult:
    (output / "passwd").symlink_to("/etc/passwd")
    return ExecutionResult(
        metrics=MetricBundle.from_scalars(("source_id",), {("any",): 1.0}),
        outputs=OutputBundle(data={"passwd": OutputFile(filename="passwd")}),
    )


def report_environment(output: Path) -> None:
    (output / "environment").write_text(json.dumps(dict(os.environ)), encoding="utf-8")
