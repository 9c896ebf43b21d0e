"""
What an execution costs, and what a start costs, beside peers, in turns.

    .venv/bin/python -m benchmarks.peers                # everything, three rounds: about half an hour
    .venv/bin/python -m benchmarks.peers --quick        # one round, fewer tasks
    .venv/bin/python -m benchmarks.peers --work real --only snakemake dask

Each side runs its tasks on two workers, once few of them and once many: the difference, divided by the number of tasks
that it has more, is what one costs, whatever a start costs. Processor time is that of all processes, as the kernel
counts it for those that have ended. A side that keeps a home has run once before, so that it is a used one. This
project and bare forks always take part, since the ratios are to them. A side that fails is left out from then on; the
exit code is 1 then.

The peers need Python 3.12 or newer and environments of their own, which the first run makes below `.cache/`.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from benchmarks.peers.bench import FEW, MANY, Bench
from benchmarks.peers.sides import FORKS, OURS, SIDES
from benchmarks.peers.tables import cost_table, start_table

ROUNDS = 3


def main() -> None:
    """Measure everything and print the tables."""
    parser = argparse.ArgumentParser(description="Compare what an execution costs with peers.")
    parser.add_argument("--quick", action="store_true", help="one round, fewer tasks")
    parser.add_argument("--rounds", type=int, default=None, help=f"how often each is measured, {ROUNDS} by default")
    parser.add_argument("--work", nargs="+", choices=tuple(MANY), default=tuple(MANY))
    peers = [name for name in SIDES if name not in {FORKS, OURS}]
    parser.add_argument(
        "--only", nargs="*", choices=peers, default=peers, metavar="SIDE", help=f"of: {', '.join(peers)}"
    )
    options = parser.parse_args()
    names = [name for name in SIDES if name in {FORKS, OURS, *options.only}]
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(SIDES, Path(directory), quick=options.quick)
        for work in options.work:
            for measured in bench.measure(work, names, options.rounds or (1 if options.quick else ROUNDS)):
                print(json.dumps(measured._asdict()), flush=True)
                rows.append(measured)
    console = Console(width=120)
    for work in options.work:
        console.print(cost_table(work, [row for row in rows if row.work == work]))
        console.print(start_table(work, FEW, [row for row in rows if row.work == work]))
    for failure in bench.failures.values():
        console.print(failure.partition("\n")[0], markup=False)
    sys.exit(bool(bench.failures))


if __name__ == "__main__":
    main()
