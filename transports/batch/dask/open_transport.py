"""Open a batch transport: make its keys, start a Dask scheduler for the pilots, start the pool of jobs."""

from pathlib import Path

from climate_ref_prefect.transports.batch.batch_site import BatchSite
from climate_ref_prefect.transports.batch.dask.dask_jobqueue_import import load_classes
from climate_ref_prefect.transports.batch.dask.job_script import make_job
from climate_ref_prefect.transports.batch.dask.job_script import write_script as write
from climate_ref_prefect.transports.batch.dask.tls_keys import CommsKeys
from climate_ref_prefect.transports.batch.dask.worker_link import DaskLink
from climate_ref_prefect.transports.batch.pool.plan import Limits
from climate_ref_prefect.transports.batch.pool.pool_thread import PoolThread
from climate_ref_prefect.transports.batch.pool.worker_link_port import Listener
from climate_ref_prefect.transports.batch.settings.job_sizing import JobSize


def make_keys(transport: BatchSite) -> CommsKeys | None:
    """Make keys for TLS in the shared directory; none without TLS."""
    return CommsKeys(transport.shared) if transport.tls else None


def open_pool(transport: BatchSite, keys: CommsKeys | None) -> PoolThread:
    """Listen for pilots, and return a pool that submits jobs for them."""
    return PoolThread(
        Limits(transport.rules, transport.sizing.headroom_mb),
        transport.commands(),
        lambda listener: listen(transport, listener, keys),
        lambda link: lambda name, size: write_script(transport, link.address, name, size, keys),
        file_delay_seconds=transport.outcome_patience_seconds,
        logs=transport.log_directory,
    )


def listen(transport: BatchSite, listener: Listener, keys: CommsKeys | None) -> DaskLink:
    """Listen for pilots. Raises `BadInputError` if none of the ports is free."""
    first, last = transport.ports
    options = {"host": transport.host} if transport.host else {"interface": transport.interface}
    arguments = {
        "cores": 1,
        "memory": "1GiB",
        "processes": 1,
        "name": transport.name,
        "scheduler_options": options,
    }
    cluster_class, _ = load_classes(transport.dask_jobqueue)
    return DaskLink(cluster_class, arguments, range(first, last + 1), keys, listener)


def write_script(transport: BatchSite, address: str, name: str, size: JobSize, keys: CommsKeys | None) -> Path:
    """Write the script of a job whose pilot connects to an address. The caller removes it after the submission."""
    for directory in (transport.shared, transport.log_directory):
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return write(make_job(transport, transport.contact(address), name, size, keys), transport.job_name)


def render_script(transport: BatchSite, size: JobSize) -> str:
    """Return the script of a job of a size, with a placeholder for the coordinator's address."""
    address = f"{transport.protocol}COORDINATOR:PORT"
    return str(make_job(transport, transport.contact(address), f"{size.label}-1", size, None).job_script())
