"""The benchmark of `ref solve`: what it concludes from what it has seen, and that it runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.ref import tables
from benchmarks.ref.sides import SIDES
from benchmarks.ref.watched_solve import Sample, WatchedSolve

from tests.packaging.checkout import ROOT


def watched(seconds: float, count: int = 201) -> WatchedSolve:
    """Return a solve whose executions succeed one by one at the same pace, twice as much work for the process later."""
    samples = [
        Sample(seconds * done / count, cpu_seconds=done + max(0, done - 100), made=count, succeeded=done)
        for done in range(0, count + 1, 50)
    ]
    return WatchedSolve(seconds, [*samples, Sample(seconds, 301.0, count, count)], peak_pss_mb=150.4, peak_rss_mb=300)


def cells(table: object) -> list[list[str]]:
    return [list(column.cells) for column in table.columns]  # type: ignore[attr-defined]


def test_a_moment_between_two_samples_is_interpolated() -> None:
    solve = watched(201.0)
    assert solve.at(75).seconds == pytest.approx(75.0)
    assert solve.at(150).cpu_seconds == pytest.approx(200.0)


def test_each_side_is_compared_with_climate_refs_own_and_each_bound_is_judged() -> None:
    measured = {
        "server": [watched(30.0), watched(20.0), watched(90.0)],
        "own": [watched(50.0)],
        "hpc": [watched(25.0)],
        "local": [watched(100.0)],
    }
    columns = cells(tables.results(measured, 100))
    assert columns[2] == ["30.0", "50.0", "25.0", "100.0"]
    assert columns[5] == ["0.30", "0.50", "0.25", "1.00"]
    assert columns[6] == ["1.20", "2.00", "1.00", "4.00"]
    verdicts = [line.rpartition(": ")[2] for line in tables.judged(measured)]
    assert verdicts == ["MISSED", "MISSED", "holds"]
    assert tables.judged({"server": [watched(1.0)]}) == []


def test_growth_is_shown_by_solve_and_by_stretch() -> None:
    assert cells(tables.growth({201: watched(402.0)}))[:4] == [["201"], ["402.0"], ["2000"], ["1498"]]
    assert cells(tables.stretches(watched(201.0))) == [
        ["1 to 100", "100 to 200"],
        ["1000", "1000"],
        ["1000", "2000"],
    ]


@pytest.mark.slow
@pytest.mark.parametrize("side", ["own", "local"])
def test_a_side_runs(side: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.ref", "--quick", "--only", side]
    ended = subprocess.run(
        command, check=False, capture_output=True, text=True, cwd=ROOT, env={**os.environ, "TMPDIR": str(tmp_path)}
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (measured,) = [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]
    assert (measured["side"], measured["succeeded"]) == (side, 10)
    assert 0 < measured["made_at"] <= measured["seconds"]
    assert measured["peak_pss_mb"] > 50
    assert SIDES[side].isolation in ended.stdout
