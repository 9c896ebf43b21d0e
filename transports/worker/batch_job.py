"""The batch job that this process is part of."""

import os
from typing import Final

_VARIABLES: Final = {
    "job_id": ("SLURM_JOB_ID", "PBS_JOBID"),
    "node": ("SLURMD_NODENAME",),
}
"""Where batch schedulers tell a job who it is."""


def batch_job() -> dict[str, str]:
    """Return its id and node, as far as the scheduler tells; empty outside of any job."""
    found = {key: next(filter(None, map(os.environ.get, names)), "") for key, names in _VARIABLES.items()}
    return {key: value for key, value in found.items() if value}
