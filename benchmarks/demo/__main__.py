"""
The demo's executions with two workers, against the same diagnostics in a plain loop in one process.

    .venv/bin/python -m benchmarks.demo

The loop has imported and warmed up the provider before its clock starts, and writes the same files.
"""

import os
import tempfile
import time
from pathlib import Path

from climate_ref_prefect.diagnostics.catalogue import scan
from climate_ref_prefect.diagnostics.definition import ExecutionDefinition, ExecutionEnvelope, ProviderReference
from climate_ref_prefect.diagnostics.demo.data import sample_data_root
from climate_ref_prefect.diagnostics.demo.provider import provider
from climate_ref_prefect.flows.report import SolveReport
from climate_ref_prefect.flows.server import local_server
from climate_ref_prefect.flows.settings import Settings
from climate_ref_prefect.flows.solve import solve
from climate_ref_prefect.transports.local import LocalTransport
from climate_ref_prefect.transports.worker.run import run_diagnostic

WORKERS = 2


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
    provider.warm_up()
    prepared = envelopes()
    began = time.monotonic()
    for envelope in prepared:
        run_diagnostic(envelope, provider, root / envelope.fragment)
    return time.monotonic() - began


def time_flow(root: Path) -> SolveReport:
    """Run everything through the lifecycle with a Prefect server; return the report."""
    os.environ["CLIMATE_REF_PREFECT_HOME"] = str(root)
    with local_server(Settings().home_directory):
        report: SolveReport = solve(data="sample", providers=["demo"], transport=LocalTransport(cpu=WORKERS))
    return report


def main() -> None:
    """Measure both and print the ratio."""
    with tempfile.TemporaryDirectory() as loop_root, tempfile.TemporaryDirectory() as flow_root:
        loop_seconds = time_loop(Path(loop_root))
        report = time_flow(Path(flow_root))
    print(f"plain loop: {loop_seconds:.1f} s; solve with {WORKERS} workers: {report.running_seconds:.1f} s")
    print(f"ratio {report.running_seconds / loop_seconds:.2f} for {report.succeeded} executions")
    shown = report.recorded
    print(f"{shown.recorded} of {shown.finished} task runs were on Prefect's server {shown.seconds:.1f} s later")


if __name__ == "__main__":
    main()
