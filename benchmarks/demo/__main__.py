"""
The demo's executions with two workers, against the same diagnostics in a plain loop in one process.

    .venv/bin/python -m benchmarks.demo         # about six minutes; `3` for three rounds instead of five

The loop has imported and warmed up the provider before its clock starts, and writes the same files. Loops and solves
take turns, and the median counts, for a shared machine is not equally fast from one minute to the next.
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from climate_ref_prefect.diagnostics.data_catalogue import scan
from climate_ref_prefect.diagnostics.demo.provider import provider
from climate_ref_prefect.diagnostics.demo.sample_data import sample_data_root
from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition, ProviderReference
from climate_ref_prefect.execution.envelope import ExecutionEnvelope
from climate_ref_prefect.execution.worker.run_diagnostic import run_diagnostic
from climate_ref_prefect.flows.report.solve_report import SolveReport
from climate_ref_prefect.flows.server.local_server import local_server
from climate_ref_prefect.flows.solve import solve
from climate_ref_prefect.transports.this_machine.in_parallel import LocalTransport

WORKERS = 2
ROUNDS = 5


def envelopes() -> list[ExecutionEnvelope]:
    """Return an envelope for every execution of the demo."""
    catalogue = scan(sample_data_root())
    return [
        ExecutionEnvelope(
            execution_id=number,
            fragment=f"{number}",
            provider=ProviderReference(target="climate_ref_prefect.diagnostics.demo.provider:provider"),
            definition=definition,
            resources=provider.diagnostic(definition.diagnostic).resources_for(definition),
        )
        for number, definition in enumerate(
            ExecutionDefinition(
                provider=provider.slug,
                provider_version=provider.version,
                diagnostic=diagnostic.slug,
                diagnostic_version=diagnostic.version,
                key=group.key,
                selectors=group.selectors,
                datasets=group.datasets,
            )
            for diagnostic in provider.diagnostics.values()
            for group in catalogue.groups(diagnostic.data)
        )
    ]


def time_loop(root: Path) -> float:
    """Run everything in this process, one after another; return the seconds that it took."""
    root.mkdir()
    prepared = envelopes()
    began = time.monotonic()
    for envelope in prepared:
        run_diagnostic(envelope, provider, root / envelope.fragment)
    return time.monotonic() - began


def time_flow(root: Path) -> SolveReport:
    """Run everything through the lifecycle, into a state directory of its own; return the report."""
    os.environ["CLIMATE_REF_PREFECT_HOME"] = str(root)
    report: SolveReport = solve(data="sample", providers=["demo"], transport=LocalTransport(cpu=WORKERS))
    return report


def compare(number: int, root: Path) -> float:
    """Measure both once, print what they took, and return the ratio."""
    loop_seconds = time_loop(root / f"loop-{number}")
    report = time_flow(root / f"solve-{number}")
    ratio, shown = report.running_seconds / loop_seconds, report.recorded
    print(
        f"{report.succeeded} executions: plain loop {loop_seconds:.1f} s, solve with {WORKERS} workers "
        f"{report.running_seconds:.1f} s, ratio {ratio:.2f}; "
        f"{shown.recorded} of {shown.finished} task runs on Prefect's server {shown.seconds:.1f} s later",
        flush=True,
    )
    return ratio


def main() -> None:
    """Measure again and again, and print the median of the ratios."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    provider.warm_up()
    with tempfile.TemporaryDirectory() as root, local_server(Path(root)):
        ratios = [compare(number, Path(root)) for number in range(rounds)]
    print(f"median ratio {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
