"""
What an execution of climate-ref costs through this project and through climate-ref's own executors, in one run.

    .venv/bin/python -m benchmarks.ref                    # 100 no-ops on each side in turns, then growth: 25 minutes
    .venv/bin/python -m benchmarks.ref --quick            # 10 no-ops, without growth
    .venv/bin/python -m benchmarks.ref --only server hpc  # some sides
    .venv/bin/python -m benchmarks.ref --growth           # 100, 250 and 500 executions through this project alone

Each solve is a whole `ref solve` on a copy of the same database, migrated and with the data ingested. Python 3.12 or
newer is needed, with climate-ref, as `make venv` installs it. `hpc` and `slurm` run on a private SLURM, since the
configuration of climate-ref's HPCExecutor knows batch schedulers only: that needs root and Debian's SLURM, as
`tests/slurm` does. LocalExecutor, which takes minutes, is measured once, whatever the number of rounds.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from tests.slurm.cluster import SlurmCluster

from benchmarks.ref import tables
from benchmarks.ref.sides import NODE_MEMORY_MB, SIDES, WORKERS, make_template, prepared
from benchmarks.ref.watched_solve import WatchedSolve, watch_solve

COUNT, QUICK_COUNT = 100, 10
GROWTH = (100, 250, 500)
ROUNDS = 3
ONCE = "local"


def main() -> None:
    """Read the command line, measure, print."""
    options = _arguments()
    if find_spec("climate_ref") is None:
        raise SystemExit("climate-ref is not installed here: it needs Python 3.12 or newer, then `make venv`.")
    os.environ.pop("PREFECT_API_URL", None)  # A side that has a server of its own must not find another.
    console = Console(width=150)
    count = QUICK_COUNT if options.quick else COUNT
    if not options.growth:
        measured = _compare(options.only, 1 if options.quick else options.rounds, count)
        console.print(tables.results(measured, count))
        for line in tables.judged(measured):
            console.print(line)
    if options.growth or (not options.quick and options.only is SIDES):
        solves = _grow()
        console.print(tables.growth(solves))
        console.print(tables.stretches(solves[max(solves)]))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare what executions of climate-ref cost.")
    parser.add_argument("--quick", action="store_true", help="a few executions of each side, once")
    parser.add_argument("--only", nargs="+", choices=SIDES, default=SIDES, metavar="SIDE", help=", ".join(SIDES))
    parser.add_argument(
        "--rounds", type=int, default=ROUNDS, help=f"solves of each side but {ONCE}, by default {ROUNDS}"
    )
    parser.add_argument(
        "--growth", action="store_true", help="how the cost grows up to 500 executions, and nothing else"
    )
    return parser.parse_args()


def _compare(names: Sequence[str], rounds: int, count: int) -> Mapping[str, Sequence[WatchedSolve]]:
    measured: dict[str, list[WatchedSolve]] = {name: [] for name in names}
    with _directory() as directory, _cluster(names) as cluster:
        template = make_template(directory, count)
        for number, name in _turns(names, rounds):
            place = directory / f"{name}-{number}"
            with prepared(SIDES[name], template, place, cluster) as home:
                measured[name].append(watch_solve(home, count, directory / f"{name}-{number}.log"))
            _say({"side": name, **_told(measured[name][-1])})
    return measured


def _turns(names: Sequence[str], rounds: int) -> Iterator[tuple[int, str]]:
    return ((number, name) for number in range(rounds) for name in names if number == 0 or name != ONCE)


def _grow() -> Mapping[int, WatchedSolve]:
    solves: dict[int, WatchedSolve] = {}
    with _directory() as directory:
        template = make_template(directory, max(GROWTH))
        for count in GROWTH:
            with prepared(SIDES["server"], template, directory / f"growth-{count}", {}) as home:
                solves[count] = watch_solve(home, count, directory / f"growth-{count}.log")
            _say({"executions": count, **_told(solves[count])})
    return solves


@contextmanager
def _directory() -> Iterator[Path]:
    """Give a directory that goes with everything in it, but stays where a measurement has failed."""
    directory = Path(tempfile.mkdtemp(prefix="benchmark-ref-"))
    yield directory
    shutil.rmtree(directory)


@contextmanager
def _cluster(names: Sequence[str]) -> Iterator[Mapping[str, str]]:
    if not any(SIDES[name].needs_slurm for name in names):
        yield {}
        return
    with SlurmCluster(nodes=1, cpus=WORKERS, memory_mb=NODE_MEMORY_MB) as cluster:
        yield cluster.environment


def _told(solve: WatchedSolve) -> dict[str, float]:
    return {
        "seconds": round(solve.seconds, 2),
        "made_at": round(solve.made_at(), 2),
        "first_success_at": round(solve.at(1).seconds, 2),
        "cpu_seconds": round(solve.samples[-1].cpu_seconds, 2),
        "peak_pss_mb": round(solve.peak_pss_mb),
        "peak_rss_mb": round(solve.peak_rss_mb),
        "succeeded": solve.succeeded,
    }


def _say(measured: Mapping[str, object]) -> None:
    sys.stdout.write(f"{json.dumps({**measured, 'load': round(os.getloadavg()[0], 2)})}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
