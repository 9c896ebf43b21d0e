"""Values that the tests of the store put into it."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from climate_ref_prefect.diagnostics.execution_definition import Dataset, ExecutionDefinition
from climate_ref_prefect.diagnostics.execution_result import Series
from climate_ref_prefect.diagnostics.metric_bundle import MetricBundle
from climate_ref_prefect.diagnostics.output_bundle import OutputBundle, OutputFile
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.execution.outcome import ExecutionFailure, Telemetry
from climate_ref_prefect.store.lock_file import Holder
from climate_ref_prefect.store.port import AllocatedExecution, Allocation, Finalisation
from climate_ref_prefect.store.sql.sql_store import Store, open_store

HINT = ResourceHint(memory_mb=2048, cpu=2, queue="bigmem")

OUTPUTS = OutputBundle(
    plots={"map": OutputFile(filename="map.png", long_name="A map", description="Of it", dimensions={"region": "sea"})},
    data={"fields": OutputFile(filename="data/fields.nc")},
)
METRICS = MetricBundle.from_scalars(("model", "region"), {("m", "land"): 1.5, ("m", "sea"): None, ("m", "ice"): 2})
SERIES = (
    Series(dimensions={"model": "m"}, index_name="month", index=(1, 2), values=(0.5, None), attributes={"units": "K"}),
    Series(dimensions={"model": "m"}, index_name="year", index=("1850",), values=(1.0,)),
)


def holder(home: str = "/home/of/the/tests") -> Holder:
    """Return who coordinates in a test."""
    return Holder(host="here", pid=os.getpid(), since=time.time(), home=home)


@contextmanager
def coordinated(url: str) -> Iterator[Store]:
    """Open a store and coordinate on it."""
    with open_store(url) as store, store.coordinate(holder()):
        yield store


def dataset(name: str, fingerprint: str = "a") -> Dataset:
    """Return a data set of one file."""
    return Dataset(
        instance_id=name, facets={"source_id": name}, files=(Path(f"/data/{name}.nc"),), fingerprint=fingerprint
    )


def definition(
    key: str = "CanESM5",
    *,
    provider: str = "demo",
    diagnostic: str = "mean",
    version: str = "1",
    datasets: tuple[Dataset, ...] | None = None,
) -> ExecutionDefinition:
    """Return a definition, by default on one data set of its own."""
    return ExecutionDefinition(
        provider=provider,
        provider_version=version,
        diagnostic=diagnostic,
        diagnostic_version="1",
        key=key,
        selectors={"source_id": key},
        datasets=datasets or (dataset(f"CMIP6.{key}"),),
    )


def allocate(
    store: Store, about: ExecutionDefinition | None = None, *, attempt: int = 1, resources: ResourceHint = HINT
) -> AllocatedExecution:
    """Record one attempt."""
    return store.allocate([Allocation(definition=about or definition(), resources=resources, attempt=attempt)])[0]


def success(results_path: str = "/results/x") -> Finalisation:
    """Return the finalisation of an attempt that succeeded."""
    return Finalisation(
        successful=True,
        retryable=False,
        counted=True,
        failure=None,
        telemetry=Telemetry(
            duration_seconds=3.5,
            cpu_seconds=2.5,
            peak_rss_mb=100.5,
            memory_source="pss",
            host="node1",
            exit_code=0,
            transport_meta={"job_id": "17"},
        ),
        clears_dirty=True,
        results_path=results_path,
    )


def failure(
    kind: FailureKind = FailureKind.OUT_OF_MEMORY, *, retryable: bool = True, counted: bool = True, message: str = "no"
) -> Finalisation:
    """Return the finalisation of an attempt that failed."""
    return Finalisation(
        successful=False,
        retryable=retryable,
        counted=counted,
        failure=ExecutionFailure(kind=kind, message=message),
        telemetry=Telemetry(),
        clears_dirty=not retryable,
        results_path=None,
    )
