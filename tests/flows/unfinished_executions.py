"""Executions as a coordinator leaves them that was killed: dispatched, with whatever files a test wants."""

from climate_ref_prefect.execution.envelope import ExecutionEnvelope, WorkerLimits
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.flows.planning.plan_solve import plan_only
from climate_ref_prefect.flows.settings import Settings
from climate_ref_prefect.store.port import Allocation
from climate_ref_prefect.testing.executions import QUICK
from climate_ref_prefect.transports.this_machine.in_parallel import LocalTransport
from tests.flows.temporary_site import PROVIDER, Site
from tests.store.example_values import coordinated


def leave_behind(
    site: Site, diagnostic: str, transport: str = "local", limits: WorkerLimits = QUICK
) -> list[ExecutionDirectory]:
    """Leave an execution for each group of a diagnostic, of which nothing but the envelope has been written."""
    planned = plan_only(str(site.data), [PROVIDER], [diagnostic], LocalTransport(limits=QUICK), "none").executions
    left = []
    with coordinated(Settings().store_url) as store:
        rows = store.allocate(
            [Allocation(definition=item.definition, resources=item.granted, attempt=1) for item in planned]
        )
        for item, row in zip(planned, rows, strict=True):
            directory = ExecutionDirectory(Settings().scratch_directory / row.fragment)
            envelope = ExecutionEnvelope(
                execution_id=row.execution_id,
                fragment=row.fragment,
                provider=item.provider,
                definition=item.definition,
                resources=item.granted,
                limits=limits,
            )
            directory.write_envelope(envelope)
            store.mark_dispatched(row.execution_id, item.granted, transport)
            left.append(directory)
    return left
