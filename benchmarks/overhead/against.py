"""
Compare what a no-op execution costs now with what it cost at an earlier commit, in turns or side by side.

    .venv/bin/python -m benchmarks.overhead --against 737fb9b                  # each on its own constraints
    .venv/bin/python -m benchmarks.overhead --against 737fb9b --same-packages  # both on what is installed here
    .venv/bin/python -m benchmarks.overhead --against 737fb9b --side-by-side   # both at the same time

Side by side, both meet the same machine at every moment: where its speed changes from minute to minute, the ratios
scatter less than in turns. The wall time then says nothing.

The earlier commit is checked out below `.cache/benchmarks/`. Processor time of all processes is what counts: it varies
less than wall time on a machine that is shared.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
_CACHE = ROOT / ".cache" / "benchmarks"
_PROGRAM = Path(__file__).with_name("processor_time.py")
_FORKS = Path(__file__).with_name("isolated_forks.py")
_EARLIER_NAMES = ROOT / "benchmarks" / "earlier_names.py"
_LIMIT_SECONDS = 1800.0
_TAIL_CHARACTERS = 4000
_MEASURED = ("cpu_ms_each", "wall_ms_each")
Measured = dict[str, Any]


def compare(commit: str, alternations: int, count: int, *, same_packages: bool, side_by_side: bool = False) -> None:
    """
    Measure both commits and print the medians and their ratio.

    Parameters
    ----------
    commit
        What to compare with; anything that Git understands.
    alternations
        How often each is measured.
    count
        No-op executions of each measurement.
    same_packages
        Whether the earlier commit runs on the packages that are installed here, instead of on its own constraints.
    side_by_side
        Whether both are measured at the same time, instead of in turns.
    """
    checkout = check_out(commit)
    python = Path(sys.executable) if same_packages else environment_of(checkout)
    places = ((Path(sys.executable), ROOT), (python, checkout))
    now: list[Measured] = []
    before: list[Measured] = []
    for number in range(alternations):
        started = (_Program(*place, str(_PROGRAM), "--count", str(count)) for place in places)
        running = list(started) if side_by_side else started
        for measured, program in zip((now, before), running, strict=True):
            measured.append(program.result(count))
        print(json.dumps({"alternation": number + 1, "now": now[-1], "before": before[-1]}), flush=True)
    Console(width=120).print(_table(commit, now, before, "A no-op execution, medians"))


def compare_with_forks(alternations: int, *, side_by_side: bool = False) -> None:
    """Measure half a second of real work here and in a bare pool of isolated forks, as `compare` does."""
    here = (Path(sys.executable), ROOT)
    now: list[Measured] = []
    forks: list[Measured] = []
    for number in range(alternations):
        programs = ((str(_PROGRAM), "--work", "half_second"), (str(_FORKS),))
        started = (_Program(*here, *program) for program in programs)
        running = list(started) if side_by_side else started
        for measured, program in zip((now, forks), running, strict=True):
            measured.append(program.result())
        print(json.dumps({"alternation": number + 1, "now": now[-1], "forks": forks[-1]}), flush=True)
    Console(width=120).print(_table("bare forks", now, forks, "Half a second of real work, medians"))


def measure_growth(count: int) -> None:
    """Run `count` no-ops, and print what each tenth of them has cost and how the last compares with the first."""
    program = (str(_PROGRAM), "--count", str(count), "--step", str(count // 10))
    measured = _Program(Path(sys.executable), ROOT, *program).result(count)
    steps = measured["cpu_ms_of_steps"]
    print(json.dumps({**measured, "last_to_first": round(steps[-1] / steps[0], 3)}), flush=True)


def check_out(commit: str) -> Path:
    """Return a checkout of a commit, which is made where it is not there yet."""
    found = _git("rev-parse", "--short=12", f"{commit}^{{commit}}").decode().strip()
    checkout = _CACHE / f"commit-{found}"
    if not checkout.exists():
        checkout.mkdir(parents=True)
        subprocess.run(["tar", "-x", "-C", str(checkout)], input=_git("archive", found), check=True)
    shutil.copy(_EARLIER_NAMES, checkout / "benchmarks")  # A program of today imports it beside that commit's own.
    return checkout


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout


def environment_of(checkout: Path) -> Path:
    """Return the interpreter of a checkout's own environment, brought up to date."""
    subprocess.run([str(checkout / "scripts" / "make_venv"), ".venv"], cwd=checkout, check=True, stdout=sys.stderr)
    return checkout / ".venv" / "bin" / "python"


class _Program:
    """
    A measurement that runs.

    Parameters
    ----------
    python
        Interpreter of the environment.
    checkout
        Whose sources are measured.
    arguments
        The program, and what comes after it.
    """

    def __init__(self, python: Path, checkout: Path, *arguments: str) -> None:
        self._checkout = checkout
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - until it ends
        self._process = subprocess.Popen(
            [str(python), "-P", *arguments],
            env={**os.environ, "PYTHONPATH": f"{checkout / 'src'}{os.pathsep}{checkout}"},
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def result(self, count: int | None = None) -> Measured:
        """Wait for it, and return what it printed; ends the program where not all executions have succeeded."""
        with self._process, self._log:
            try:
                printed, _ = self._process.communicate(timeout=_LIMIT_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                raise SystemExit(self._said(f"took more than {_LIMIT_SECONDS:g} s")) from None
            if self._process.returncode:
                raise SystemExit(self._said(f"ended with code {self._process.returncode}"))
        measured: Measured = json.loads(printed.strip().splitlines()[-1])
        if measured["succeeded"] != (count or measured["count"]):
            raise SystemExit(f"Only {measured['succeeded']} executions succeeded in {self._checkout}.")
        return measured

    def _said(self, what: str) -> str:
        self._log.seek(0)
        return f"The measurement of {self._checkout} {what}:\n{self._log.read()[-_TAIL_CHARACTERS:]}"


def _table(other: str, now: list[Measured], before: list[Measured], title: str) -> Table:
    shown = Table("", "now", other, "ratio, median", title=title)
    for name in _MEASURED:
        ratios = [one[name] / other[name] for one, other in zip(now, before, strict=True)]
        medians = [f"{statistics.median(one[name] for one in measured):.1f}" for measured in (now, before)]
        shown.add_row(name, *medians, f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    return shown
