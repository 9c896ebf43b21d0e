"""
Measure the processor time that executions cost in all processes together, and print one JSON line.

The same program measures an earlier commit, with that commit's own no-op: what it imports is looked for under the names
of today, then under those that it had before.
Of no-ops, the clock starts once Prefect's server answers; planning and the start of the provider's process are
included. Of half a second of real work, it starts once the provider has been imported and executions are about to be
submitted, as that of `isolated_forks.py` does.

With `--step`, it also prints what each so many no-ops in a row cost, as they end: whether the cost stays the same.
"""

import argparse
import json
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from benchmarks.earlier_names import imported
from benchmarks.overhead.ours import make_tree
from climate_ref_prefect.flows.solve import solve

become_subreaper = imported("become_subreaper", "execution.host.process_tree", "transports.worker.process_tree")
local_server = imported("local_server", "flows.server.local_server", "flows.server")
LocalTransport = imported("LocalTransport", "transports.this_machine.in_parallel", "transports.local")


def processor_seconds() -> float:
    """
    Return the processor time of this process, of all below it, and of all that have ended there.

    Prefect's server detaches itself; it is below this process because this one adopts orphans.
    """
    used = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    for process in psutil.Process().children(recursive=True):
        try:
            used += sum(process.cpu_times()[:4])
        except psutil.NoSuchProcess:  # it has just ended; its parent has its time, or this process
            continue
    return used


class Clock:
    """Processor and wall time since it was started last."""

    def start(self) -> None:
        """Start it."""
        self._before, self._began = processor_seconds(), time.monotonic()

    def read(self, count: int) -> dict[str, float]:
        """Return the milliseconds of each of some executions."""
        times = {"cpu_ms_each": processor_seconds() - self._before, "wall_ms_each": time.monotonic() - self._began}
        return {name: round(seconds / count * 1000, 2) for name, seconds in times.items()}


def starting(clock: Clock, workers: int) -> Any:
    """Return a transport that starts a clock when it is opened, which is after planning."""

    class Starting(LocalTransport):  # type: ignore[misc, valid-type]
        def open(self, *arguments: Any) -> None:
            super().open(*arguments)
            clock.start()

    return Starting(cpu=workers)


def stepping(step: int, steps_ms: list[float], workers: int) -> Any:
    """Return a transport that notes the processor time of each execution whenever `step` more have ended."""
    clock = Clock()

    class Stepping(LocalTransport):  # type: ignore[misc, valid-type]
        def open(self, *arguments: Any) -> None:
            super().open(*arguments)
            self._ended = 0
            clock.start()

        def wait(self, timeout_seconds: float) -> Any:
            ended = super().wait(timeout_seconds)
            self._ended += len(ended)
            if self._ended >= step:
                steps_ms.append(clock.read(self._ended)["cpu_ms_each"])
                self._ended = 0
                clock.start()
            return ended

    return Stepping(cpu=workers)


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description="Measure the processor time of executions.")
    parser.add_argument("--step", type=int, help="no-ops: print what each so many of them cost, too")
    parser.add_argument("--work", choices=("noop", "half_second"), default="noop")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    if not become_subreaper():
        raise SystemExit("This system does not let a process adopt orphans: the time of the server would be missing.")
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        os.environ["CLIMATE_REF_PREFECT_HOME"] = str(root / "home")
        os.environ["PREFECT_HOME"] = str(root / "prefect")
        is_noop = options.work == "noop"
        data = str(make_tree(root / "data", options.count)) if is_noop else "sample"
        clock, steps_ms = Clock(), list[float]()
        transport = LocalTransport(cpu=options.workers) if is_noop else starting(clock, options.workers)
        if is_noop and options.step:
            transport = stepping(options.step, steps_ms, options.workers)
        with local_server(root / "home"):
            clock.start()
            report = solve(
                data=data, providers=[f"benchmarks.overhead.ours_provider:{options.work}"], transport=transport
            )
            count = len(report.executions)
            measured = {"succeeded": report.succeeded, "count": count, **clock.read(count)}
    steps = {"cpu_ms_of_steps": steps_ms} if steps_ms else {}
    print(json.dumps({**measured, "recorded": report.recorded.recorded, **steps}))


if __name__ == "__main__":
    main()
