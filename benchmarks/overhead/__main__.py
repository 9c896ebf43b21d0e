"""
What an execution costs beside the diagnostic itself: this project and climate-ref's own executors, in one run.

    .venv/bin/python -m benchmarks.overhead            # everything, about 15 minutes
    .venv/bin/python -m benchmarks.overhead --quick    # no-ops, fewer of them, without the run of 2,000

What is quick is measured three times in turns, and the median counts: a shared machine is not equally fast from one
minute to the next.

The peers need Python 3.12 or newer and an environment of their own, which the first run makes below `.cache/`.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
PEERS = HERE.parents[1] / ".cache" / "benchmarks" / "peers"
ROUNDS = 3
Measured = dict[str, Any]


def find_python() -> str:
    """Return a Python of 3.12 or newer: this one, or one on PATH or of pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    on_path = [found for name in ("python3.13", "python3.12") if (found := shutil.which(name))]
    candidates = [sys.executable, *map(str, sorted(pyenv.glob("3.1[23]*/bin/python"), reverse=True)), *on_path]
    question = "import sys; sys.exit(sys.version_info < (3, 12))"
    for candidate in candidates:
        if subprocess.run([candidate, "-c", question], check=False, capture_output=True).returncode == 0:
            return candidate
    raise SystemExit("climate-ref needs Python 3.12 or newer; none was found on PATH or under pyenv.")


def peer_python() -> Path:
    """Return the interpreter of the peers' environment, making that first where it is missing."""
    python = PEERS / "bin" / "python"
    stamp = PEERS / "requirements"
    wanted = (HERE / "peers_requirements.txt").read_text()
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(PEERS, ignore_errors=True)
        subprocess.run([find_python(), "-m", "venv", str(PEERS)], check=True)
        install = ["-m", "pip", "install", "--quiet", "--no-deps", "-r", str(HERE / "peers_requirements.txt")]
        subprocess.run([str(python), *install], check=True)
        stamp.write_text(wanted)
    return python


def run(command: Sequence[str]) -> Measured:
    """Run one measurement and return the JSON that it printed last."""
    ended = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True, cwd=HERE.parents[1])
    if ended.returncode:
        raise SystemExit(f"{' '.join(command)} ended with code {ended.returncode}.")
    measured: Measured = json.loads(ended.stdout.strip().splitlines()[-1])
    return measured


def ours(work: str, count: int) -> Measured:
    """Measure this project."""
    return run([sys.executable, "-m", "benchmarks.overhead.ours", "--work", work, "--count", str(count)])


def peer(executor: str, work: str, count: int) -> Measured:
    """Measure one of climate-ref's executors."""
    script = str(HERE / "peers.py")
    return run([str(peer_python()), script, "--executor", executor, "--work", work, "--count", str(count)])


def measurements(*, quick: bool) -> Iterator[Measured]:
    """Yield every measurement as soon as it is made."""
    few, many = (20, 60) if quick else (60, 200)
    for _ in range(ROUNDS):
        yield ours("noop", many)
        yield peer("hpc", "noop", many)
        yield peer("synchronous", "noop", few)
    yield peer("local", "noop", few)
    if not quick:
        yield ours("real", 0)
        yield from (peer(executor, "real", 40) for executor in ("hpc", "synchronous", "local"))
        yield ours("noop", 2000)


def medians(rows: Sequence[Measured]) -> list[Measured]:
    """Return of what was measured several times the one in the middle."""
    same: dict[tuple[object, ...], list[Measured]] = {}
    for row in rows:
        same.setdefault((row["executor"], row["work"], row["count"]), []).append(row)
    return [sorted(found, key=lambda row: float(row["ms_per_execution"]))[len(found) // 2] for found in same.values()]


def table(rows: Sequence[Measured]) -> Table:
    """Return the measurements, with the ratio to the first of the same work."""
    columns = ("executor", "work", "executions", "ms each", "ours / this", "isolation", "then recorded in", "peak MB")
    shown = Table(*columns, title="Cost per execution, 2 workers")
    base = {row["work"]: row["ms_per_execution"] for row in reversed(rows) if "task_runs" in row}
    for row in rows:
        ratio = base[row["work"]] / row["ms_per_execution"]
        shown.add_row(
            row["executor"],
            row["work"],
            f"{row['succeeded']} of {row['count']}",
            f"{row['ms_per_execution']:.1f}",
            f"1/{1 / ratio:.1f}" if ratio < 1 else f"{ratio:.2f}",
            row["isolation"],
            f"{row['recorded_seconds']} s, {row['task_runs_recorded']} of {row['task_runs']}"
            if "task_runs" in row
            else "-",
            str(row.get("coordinator_peak_mb", "-")),
        )
    return shown


def main() -> None:
    """Measure everything and print the table."""
    parser = argparse.ArgumentParser(description="Compare the cost per execution.")
    parser.add_argument("--quick", action="store_true", help="fewer no-ops, and nothing else")
    options = parser.parse_args()
    rows = []
    for measured in measurements(quick=options.quick):
        print(json.dumps(measured), flush=True)
        rows.append(measured)
    Console(width=140).print(table(medians(rows)))


if __name__ == "__main__":
    main()
