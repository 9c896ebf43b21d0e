"""A log keeps its beginning and its end, however much is printed and however fast."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from climate_ref_prefect.execution.worker.log_size_limit import LogLimit

LIMIT_MB = 1
MOST_BYTES = (1 << 20) + (1 << 18)
WRITER = """
import os, sys, time
log = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
for number in range(int(sys.argv[2])):
    os.write(log, b"line %08d %s\\n" % (number, b"x" * 80))
os.write(log, b"Traceback: the last line")
"""
WATCHER = """
import os, sys
from pathlib import Path
from climate_ref_prefect.execution.worker.log_size_limit import LogLimit
from climate_ref_prefect.execution.host.process_tree import living
log, longest = Path(sys.argv[1]), 0
limit = LogLimit(log, float(sys.argv[2]))
while living([int(sys.argv[3])]):
    limit.shorten_if_needed()
    longest = max(longest, log.stat().st_size if log.exists() else 0)
limit.finish()
print(longest)
"""
NO_HOLES = """
#include <errno.h>
int fallocate64(int file, int mode, long long begin, long long length) { errno = EOPNOTSUPP; return -1; }
"""
LINES = 200_000
"""About 20 MB."""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where a log goes."""
    return tmp_path / "run.log"


def write(log: Path, lines: int = LINES) -> subprocess.Popen[bytes]:
    """Start a process that writes numbered lines, and a last one."""
    return subprocess.Popen([sys.executable, "-c", WRITER, str(log), str(lines)])


def check_ends(log: Path, lines: int = LINES) -> list[bytes]:
    """Hold that a log has both ends, whole lines and one that says what is missing; return its lines."""
    content = log.read_bytes()
    assert len(content) <= MOST_BYTES
    found = [line for line in content.split(b"\n") if line]
    assert found[0].startswith(b"line 00000000 ")
    assert found[-1] == b"Traceback: the last line"
    assert found[-2].startswith(b"line %08d " % (lines - 1))
    assert sum(b"bytes are left out here" in line for line in found) == 1
    assert all(line.startswith((b"line ", b"[...", b"Traceback")) for line in found)
    return found


def test_a_log_that_is_looked_at_while_it_grows_never_takes_much_room(log: Path) -> None:
    writer = write(log)
    limit = LogLimit(log, LIMIT_MB)
    taken = []
    while writer.poll() is None:
        limit.shorten_if_needed()
        taken.append(log.stat().st_blocks * 512 if log.exists() else 0)
    limit.finish()
    check_ends(log)
    assert writer.returncode == 0
    assert max(taken) < 10 << 20


def test_one_that_nobody_could_look_at_is_cut_at_the_end(log: Path) -> None:
    assert write(log).wait() == 0
    length = log.stat().st_size
    limit = LogLimit(log, LIMIT_MB)
    limit.finish()
    lines = check_ends(log)
    (words,) = (line for line in lines if b"left out" in line)
    left_out = int(words.split()[1])
    assert left_out == length - (log.stat().st_size - len(words) - 2)


def test_a_short_one_stays_as_it_is(log: Path) -> None:
    assert write(log, 100).wait() == 0
    before = log.read_bytes()
    limit = LogLimit(log, LIMIT_MB)
    limit.shorten_if_needed()
    limit.finish()
    assert log.read_bytes() == before


@pytest.mark.parametrize("text", [b"x" * (5 << 20), b"\xff\xfe" * (3 << 20), "ü".encode() * (3 << 20)])
def test_one_without_lines_is_cut_all_the_same(log: Path, text: bytes) -> None:
    log.write_bytes(text)
    limit = LogLimit(log, LIMIT_MB)
    limit.shorten_if_needed()
    limit.finish()
    content = log.read_bytes()
    assert len(content) <= MOST_BYTES
    assert content[:1000] == text[:1000]
    assert content[-1000:] == text[-1000:]


def test_one_that_a_diagnostic_begins_anew_under_its_name_is_limited_as_well(log: Path, tmp_path: Path) -> None:
    log.write_text("the first one\n")
    limit = LogLimit(log, LIMIT_MB)
    limit.shorten_if_needed()
    log.rename(tmp_path / "run.log.1")
    assert write(log).wait() == 0
    limit.shorten_if_needed()
    assert log.stat().st_blocks * 512 < 10 << 20
    limit.finish()
    check_ends(log)
    assert (tmp_path / "run.log.1").read_text() == "the first one\n"


def test_one_that_is_emptied_and_written_again_keeps_both_ends(log: Path) -> None:
    assert write(log).wait() == 0
    limit = LogLimit(log, LIMIT_MB)
    limit.shorten_if_needed()
    log.write_bytes(b"")
    limit.shorten_if_needed()
    assert write(log).wait() == 0
    limit.shorten_if_needed()
    limit.finish()
    check_ends(log)


@pytest.mark.parametrize("kind", ["link", "pipe", "directory", "missing"])
def test_what_is_no_log_is_left_alone(log: Path, tmp_path: Path, kind: str) -> None:
    other = tmp_path / "other"
    other.write_bytes(bytes(5 << 20))
    if kind == "link":
        log.symlink_to(other)
    elif kind == "pipe":
        os.mkfifo(log)
    elif kind == "directory":
        log.mkdir()
    limit = LogLimit(log, LIMIT_MB)
    limit.shorten_if_needed()
    limit.finish()
    assert other.stat().st_size == 5 << 20


@pytest.mark.slow
def test_a_file_system_that_knows_no_holes_has_the_middle_cut_out_at_once(log: Path, tmp_path: Path) -> None:
    writer = write(log, 4 * LINES)
    command = [sys.executable, "-c", WATCHER, str(log), str(LIMIT_MB), str(writer.pid)]
    watched = subprocess.run(
        command,
        env={**os.environ, "LD_PRELOAD": str(compiled(tmp_path, NO_HOLES))},
        check=True,
        capture_output=True,
        text=True,
    )
    assert writer.wait() == 0
    assert int(watched.stdout) < 60 << 20
    check_ends(log, 4 * LINES)


def compiled(folder: Path, source: str) -> Path:
    """Return a library of some C."""
    (folder / "fault.c").write_text(source)
    library = folder / "fault.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(folder / "fault.c")], check=True)
    return library
