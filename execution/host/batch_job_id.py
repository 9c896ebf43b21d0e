"""The batch job that this process is part of."""

import os
from typing import Final

JOB_ID: Final = "REF_PREFECT_JOB_ID"
"""Environment variable that our job scripts set to the id of the job, from whatever variable their scheduler has."""
JOB_NODE: Final = "REF_PREFECT_JOB_NODE"
"""The same for the name of the node."""
_VARIABLES: Final = {
    # The others are for executions beside a coordinator that runs in a job itself, whose script is not ours.
    "job_id": (JOB_ID, "SLURM_JOB_ID", "PBS_JOBID"),
    "node": (JOB_NODE, "SLURMD_NODENAME"),
}


def batch_job() -> dict[str, str]:
    """Return its id and node, as far as its environment tells; empty outside of any job."""
    found = {key: next(filter(None, map(os.environ.get, names)), "") for key, names in _VARIABLES.items()}
    return {key: value for key, value in found.items() if value}


def lines_naming_job(job_id: tuple[str, ...], node: tuple[str, ...]) -> list[str]:
    """Return shell lines for a job script, by which the worker learns its job; of variables the first that is set."""
    return [f'export {name}="{_first_set(names)}"' for name, names in ((JOB_ID, job_id), (JOB_NODE, node)) if names]


def _first_set(names: tuple[str, ...]) -> str:
    first, *others = names
    return f"${{{first}:-{_first_set(tuple(others)) if others else ''}}}"
