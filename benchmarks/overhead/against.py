"""
Compare what a no-op execution costs now with what it cost at an earlier commit, in turns.

    .venv/bin/python -m benchmarks.overhead --against 737fb9b                  # each on its own constraints
    .venv/bin/python -m benchmarks.overhead --against 737fb9b --same-packages  # both on what is installed here

The earlier commit is checked out below `.cache/benchmarks/`. Processor time of all processes is what counts: it varies
less than wall time on a machine that is shared.
"""

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
_CACHE = ROOT / ".cache" / "benchmarks"
_PROGRAM = Path(__file__).with_name("processor_time.py")
_MEASURED = ("cpu_ms_each", "wall_ms_each")
Measured = dict[str, Any]


def compare(commit: str, alternations: int, count: int, *, same_packages: bool) -> None:
    """
    Measure both commits in turns and print the medians and their ratio.

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
    """
    checkout = _check_out(commit)
    python = Path(sys.executable) if same_packages else _environment(checkout)
    now, before = [], []
    for number in range(alternations):
        now.append(_measure(Path(sys.executable), ROOT, count))
        before.append(_measure(python, checkout, count))
        print(json.dumps({"alternation": number + 1, "now": now[-1], "before": before[-1]}), flush=True)
    Console(width=120).print(_table(commit, now, before))


def _check_out(commit: str) -> Path:
    found = _git("rev-parse", "--short=12", f"{commit}^{{commit}}").decode().strip()
    checkout = _CACHE / f"commit-{found}"
    if not checkout.exists():
        checkout.mkdir(parents=True)
        subprocess.run(["tar", "-x", "-C", str(checkout)], input=_git("archive", found), check=True)
    return checkout


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout


def _environment(checkout: Path) -> Path:
    subprocess.run([str(checkout / "scripts" / "make_venv"), ".venv"], cwd=checkout, check=True, stdout=sys.stderr)
    return checkout / ".venv" / "bin" / "python"


def _measure(python: Path, checkout: Path, count: int) -> Measured:
    program = [str(python), "-P", str(_PROGRAM), "--count", str(count)]
    ended = subprocess.run(
        program,
        env={**os.environ, "PYTHONPATH": f"{checkout / 'src'}{os.pathsep}{checkout}"},
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    measured: Measured = json.loads(ended.stdout.strip().splitlines()[-1])
    if measured["succeeded"] != count:
        raise SystemExit(f"{measured['succeeded']} of {count} executions succeeded in {checkout}.")
    return measured


def _table(commit: str, now: list[Measured], before: list[Measured]) -> Table:
    shown = Table("", "now", commit, "ratio, median of the turns", title="A no-op execution, medians")
    for name in _MEASURED:
        ratios = [one[name] / other[name] for one, other in zip(now, before, strict=True)]
        medians = [f"{statistics.median(one[name] for one in measured):.1f}" for measured in (now, before)]
        shown.add_row(name, *medians, f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    return shown
