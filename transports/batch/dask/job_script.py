"""The job script: the options of a transport as dask-jobqueue writes them, with every path quoted."""

import shlex
import sys
import tempfile
from pathlib import Path
from typing import Final

from climate_ref_prefect.execution.host.batch_job_id import lines_naming_job
from climate_ref_prefect.execution.host.environment_variables import lines_for_job_script
from climate_ref_prefect.transports.batch.batch_site import BatchSite
from climate_ref_prefect.transports.batch.dask.dask_jobqueue_import import Job, load_classes, only_packaged_settings
from climate_ref_prefect.transports.batch.dask.pilot_worker import STARTED
from climate_ref_prefect.transports.batch.dask.tls_keys import CommsKeys
from climate_ref_prefect.transports.batch.settings.job_script_quoting import word_of_shell
from climate_ref_prefect.transports.batch.settings.job_sizing import JobSize

_PILOT: Final = "climate_ref_prefect.transports.batch.dask.pilot_worker"


def make_job(transport: BatchSite, address: str, name: str, size: JobSize, keys: CommsKeys | None) -> Job:
    """Return dask-jobqueue's job, whose script starts a pilot that connects to an address."""
    _, job_class = load_classes(transport.dask_jobqueue)
    with only_packaged_settings():
        return job_class(
            address,
            name=name,
            cores=size.cpu,  # the largest number of executions at a time
            memory=f"{size.memory_mb}MiB",
            processes=1,
            nanny=False,
            protocol=transport.protocol,
            interface=shlex.quote(transport.interface) if transport.interface else None,
            death_timeout=transport.death_timeout_seconds,
            local_directory=word_of_shell(transport.local_directory),
            worker_command=_PILOT,
            worker_extra_args=[*_options(transport), *_paths_of(keys)],
            job_script_prologue=[
                f"export {STARTED}=$(date +%s)",
                *lines_naming_job(*transport.job_variables),
                *lines_for_job_script(),
                *transport.prologue,
            ],
            python=f"exec {_interpreter(transport.python)} -P",  # Schedulers signal only this process.
            job_name=f"{transport.job_name}-{size.label}",
            **transport.sized(size),
        )


def write_script(job: Job, prefix: str) -> Path:
    """Write the script of a job into a file of its own."""
    with tempfile.NamedTemporaryFile(
        "w",
        encoding="utf-8",
        errors="surrogateescape",  # A path may contain any bytes.
        prefix=f"{prefix}-",
        suffix=".sh",
        delete=False,
    ) as file:
        file.write(job.job_script())
    return Path(file.name)


def _options(transport: BatchSite) -> list[str]:
    return ["--outlive-coordinator"] if transport.outlive_coordinator else []


def _paths_of(keys: CommsKeys | None) -> list[str]:
    # dask-jobqueue would write them as they are.
    if keys is None:
        return []
    paths = keys.security.get_tls_config_for_role("worker")
    return [
        word
        for name in ("ca_file", "cert", "key")
        for word in (f"--tls-{name.replace('_', '-')}", shlex.quote(str(paths[name])))
    ]


def _interpreter(python: str) -> str:
    return shlex.quote(python) if python == sys.executable else word_of_shell(python)
