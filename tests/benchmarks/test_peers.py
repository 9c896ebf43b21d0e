"""The benchmark beside peers: what it prints, how it bounds and tells of what fails, and that some sides run."""

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from benchmarks.peers.bench import Bench
from benchmarks.peers.sides import FORKS, OURS, Side
from benchmarks.peers.tables import Measured, cost_table, start_table
from benchmarks.process_cost import Cost, ProgramFailed
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]


def measured(side: str, number: int, cpu_ms: float, start: float) -> Measured:
    return Measured(side, "noop", number, 7, cpu_ms, cpu_ms, start, start)


ROWS = [
    measured(FORKS, 1, 10, 1),
    measured(OURS, 1, 40, 4),
    measured("dask", 1, 20, 2),
    measured(FORKS, 2, 20, 1),
    measured(OURS, 2, 40, 8),
]


def cells(table: Table) -> list[list[str]]:
    return [[str(cell) for cell in column.cells] for column in table.columns]


def test_costs_are_shown_beside_forks_and_beside_this_project_round_by_round() -> None:
    shown = cells(cost_table("noop", ROWS))
    assert shown[0] == [FORKS, OURS, "dask"]
    assert shown[1:4] == [["15.0", "40.0", "20.0"], ["1.00", "3.00", "2.00"], ["0.38", "1.00", "0.50"]]
    assert shown[7] == ["7", "7", "7"]


def test_starts_are_shown_beside_this_project() -> None:
    assert cells(start_table("noop", 2, ROWS))[1:3] == [["1.00", "6.00", "2.00"], ["0.19", "1.00", "0.50"]]


def test_a_side_that_fails_is_left_out_and_says_why(tmp_path: Path) -> None:
    def fail(*_: object) -> Cost:
        raise ProgramFailed(["dask"], "ended with code 3", "no memory")

    def cost(program: str, place: Path, work: str, count: int) -> Cost:
        return Cost(wall_seconds=2.0 * count, cpu_seconds=1.0 * count, output="", errors="")

    bench = Bench({FORKS: Side(cost, ""), "dask": Side(fail, "")}, tmp_path, quick=True)
    rows = list(bench.measure("noop", [FORKS, "dask"], rounds=2))
    assert [(row.side, row.cpu_ms_each, row.wall_ms_each) for row in rows] == [(FORKS, 1000.0, 2000.0)] * 2
    assert list(bench.failures) == ["dask"]
    assert "dask has failed with 2 tasks (noop)" in bench.failures["dask"]
    assert "no memory" in bench.failures["dask"]


def test_forks_that_fail_are_not_counted() -> None:
    program = "from benchmarks.bare_forks import run_in_forks; print(run_in_forks(lambda n: 1 // n, [1, 0, 1], 2))"
    ended = run(program)
    assert ended.stdout == "2\n"
    assert "ZeroDivisionError" in ended.stderr


def test_the_processor_time_of_orphans_counts(tmp_path: Path) -> None:
    burn = "import time\nwhile time.process_time() < 0.5: pass"
    orphan = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {burn!r}], start_new_session=True)"
    assert float(measure(tmp_path, orphan).stdout) >= 0.5


def test_a_program_that_fails_says_what_it_said_last(tmp_path: Path) -> None:
    said = measure(tmp_path, "print('no memory'); raise SystemExit(3)").stderr
    assert "ended with code 3; the end of what it said:\nno memory" in said


def test_a_program_that_takes_too_long_is_killed_with_all_below_it(tmp_path: Path) -> None:
    below = tmp_path / "below"
    hang = (
        "import pathlib, subprocess, time; "
        "child = subprocess.Popen(['sleep', '1000']); "
        f"pathlib.Path({str(below)!r}).write_text(str(child.pid)); time.sleep(1000)"
    )
    assert "took more than 2 s" in measure(tmp_path, hang, limit_seconds=2).stderr
    assert not psutil.pid_exists(int(below.read_text(encoding="utf-8")))


@pytest.mark.slow
def test_the_sides_that_need_no_peers_run() -> None:
    command = [sys.executable, "-m", "benchmarks.peers", "--quick", "--work", "real", "--only"]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT, timeout=280)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    rows = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
    assert [(row["side"], row["work"]) for row in rows] == [(FORKS, "real"), (OURS, "real")]
    assert "real: what a task costs" in ended.stdout


def measure(directory: Path, program: str, limit_seconds: float = 60.0) -> "subprocess.CompletedProcess[str]":
    """Measure a program in a process of its own, which adopts what it leaves; print its processor time."""
    words = f"[{sys.executable!r}, '-c', {program!r}], Path({str(directory)!r}), limit_seconds={limit_seconds}"
    return run(
        "from pathlib import Path; from benchmarks.process_cost import run_measured; "
        f"print(run_measured({words}).cpu_seconds)"
    )


def run(program: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, cwd=ROOT)
