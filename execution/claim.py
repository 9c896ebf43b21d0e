"""The claim: the document by which a worker takes an execution, written once by exclusive create."""

import os
import socket
import time
import uuid
from typing import Self

from climate_ref_prefect.diagnostics.base_models import Document
from climate_ref_prefect.execution.host.batch_job_id import batch_job
from climate_ref_prefect.execution.host.process_identity import boot_id, pid_namespace, process_start


class Claim(Document):
    """Names the process that runs an execution. It is written once, by exclusive create."""

    token: str
    """Unique, so that a worker recognises its own claim if the file system reported a failure although it succeeded."""
    host: str
    boot_id: str
    pid: int
    process_started: str
    """Start time of the process in clock ticks since boot, because another process may have got the pid by now."""
    claimed_at: float
    """Seconds since the epoch."""
    job_id: str = ""
    """Id of the batch job that the process is part of; empty outside of any job."""
    pid_namespace: str = ""
    """Namespace of the pid, for example that of a container; empty if the system does not say."""

    @classmethod
    def of_this_process(cls) -> Self:
        """Return a claim of the calling process."""
        return cls(
            token=uuid.uuid4().hex,
            host=socket.gethostname(),
            boot_id=boot_id(),
            pid=os.getpid(),
            process_started=process_start(os.getpid()) or "",
            claimed_at=time.time(),
            job_id=batch_job().get("job_id", ""),
            pid_namespace=pid_namespace(),
        )

    def is_visible_here(self) -> bool:
        """
        Whether the claiming process would be visible from here if it were alive.

        The host name is not compared, because it may have changed. In another container the pid means another process.
        """
        if not self.boot_id:
            return self.is_of_this_host()
        return (self.boot_id, self.pid_namespace) == (boot_id(), pid_namespace())

    def is_of_this_host(self) -> bool:
        """Whether the claiming process ran on this host, since its last boot or before."""
        return self.host == socket.gethostname()

    def is_alive_here(self) -> bool:
        """Whether the claiming process is alive, as far as this host can see."""
        started = process_start(self.pid)
        return started is not None and started == self.process_started and self.boot_id == boot_id()
