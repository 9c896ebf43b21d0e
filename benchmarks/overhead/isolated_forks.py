"""
A bare pool of isolated forks: what the benchmark's real work costs where nothing else is done, in one JSON line.

One process computes the annual cycle once, as a provider's `warm_up` does, and then forks a child for each execution,
two at a time. Nothing is checked, recorded or limited: it is the floor for whatever gives each execution a process.
"""

import argparse
import gc
import json
import os
import resource
import tempfile
import time
import warnings
from pathlib import Path

from benchmarks.overhead.ours_provider import REPEATED, half_second
from benchmarks.overhead.real_work import annual_cycle, monthly_historical_ta, sample_data_root


def processor_seconds() -> float:
    """Return the processor time of this process and of its children that have ended."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def compute(files: list[Path]) -> None:
    """Compute the annual cycle of one model in a forked child."""
    if os.fork() == 0:
        code = 1
        try:
            with tempfile.TemporaryDirectory() as directory:
                for _ in range(REPEATED):
                    annual_cycle(files, directory)
            code = 0
        finally:
            os._exit(code)


def wait_for_one() -> bool:
    """Wait for a child; return whether it has succeeded."""
    return os.wait()[1] == 0


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description="Measure the processor time of real work in bare forks.")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)
    models = list(monthly_historical_ta(sample_data_root()).values())
    half_second.warm_up()
    gc.freeze()
    before, began = processor_seconds(), time.monotonic()
    succeeded = 0
    for number, files in enumerate(models):
        if number >= options.workers:
            succeeded += wait_for_one()
        compute(files)
    succeeded += sum(wait_for_one() for _ in range(min(options.workers, len(models))))
    used, took = processor_seconds() - before, time.monotonic() - began
    each = {"cpu_ms_each": used, "wall_ms_each": took}
    shown = {name: round(seconds / len(models) * 1000, 2) for name, seconds in each.items()}
    print(json.dumps({"succeeded": succeeded, "count": len(models), **shown}))


if __name__ == "__main__":
    main()
