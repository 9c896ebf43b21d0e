"""
What the benchmark's real work costs in a bare pool of forks, in one JSON line.

One process computes the annual cycle once, as a provider's `warm_up` does, and then forks a child for each execution.
"""

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

from benchmarks.bare_forks import run_in_forks
from benchmarks.overhead.ours_provider import REPEATED, half_second
from benchmarks.overhead.real_work import annual_cycle, monthly_historical_ta, sample_data_root


def processor_seconds() -> float:
    """Return the processor time of this process and of its children that have ended."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def compute(files: list[Path]) -> None:
    """Compute the annual cycle of one model several times over."""
    with tempfile.TemporaryDirectory() as directory:
        for _ in range(REPEATED):
            annual_cycle(files, directory)


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description="Measure the processor time of real work in bare forks.")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    models = list(monthly_historical_ta(sample_data_root()).values())
    half_second.warm_up()
    before, began = processor_seconds(), time.monotonic()
    succeeded = run_in_forks(compute, models, options.workers)
    used, took = processor_seconds() - before, time.monotonic() - began
    each = {"cpu_ms_each": used, "wall_ms_each": took}
    shown = {name: round(seconds / len(models) * 1000, 2) for name, seconds in each.items()}
    print(json.dumps({"succeeded": succeeded, "count": len(models), **shown}))


if __name__ == "__main__":
    main()
