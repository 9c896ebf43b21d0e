"""The base of `inline` and `local`: executions in child processes of this machine."""

import threading
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Final

from pydantic import PrivateAttr

from climate_ref_prefect.diagnostics.execution_definition import ProviderReference
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.host.process_tree import living
from climate_ref_prefect.execution.worker.execute import ServerPool
from climate_ref_prefect.transports.base_transport import TransportModel
from climate_ref_prefect.transports.doctor_finding import Finding, note
from climate_ref_prefect.transports.port import Ended, Submission, Traits
from climate_ref_prefect.transports.resource_packing import Packing
from climate_ref_prefect.transports.this_machine.subprocess_pool import SubprocessPool

_OPENING: Final = threading.Lock()
"""Guards the opening, because the waiting thread and submitting threads may be first at the same time."""


class SubprocessTransport(TransportModel):
    """Runs executions on this machine, as many at once as a packing admits."""

    # Its executions are processes of the coordinator's own host, or of the batch job that the coordinator runs in.
    traits: ClassVar[Traits] = Traits(
        fields_in_forms=True, usable_by_name=True, may_outlive_coordinator=False, reports_starts=True
    )

    _children: SubprocessPool | None = PrivateAttr(default=None)
    _servers: ServerPool | None = PrivateAttr(default=None)
    _unended: dict[Path, list[int]] = PrivateAttr(default_factory=dict)

    @abstractmethod
    def packing(self) -> Packing[Path]:
        """Return the packing, which decides which executions may run at the same time."""

    def take_servers(self, servers: ServerPool) -> None:
        """Use provider servers that run already. They are closed together with this transport."""
        self._servers = servers

    def submit(self, directory: Path, resources: ResourceHint) -> Submission:
        """Queue an execution. It starts as soon as the packing admits it."""
        submission = self.submission_of(directory)
        self._open().submit(submission, self.check(resources))
        return submission

    def wait(self, timeout_seconds: float) -> list[Ended]:
        """Return the executions that have ended, and wait up to `timeout_seconds` for the first."""
        return self._open().wait(timeout_seconds)

    def new_starts(self) -> list[Path]:
        """Return the directories of executions whose supervisors have been started since the last call."""
        children = self._children
        return children.new_starts() if children is not None else []

    def cancel(self, submission: Submission) -> None:
        """Cancel an execution with its whole process tree, whether it runs or waits."""
        self._open().cancel(submission.directory)

    def is_over(self, directory: Path) -> bool | None:
        """Return false of what could not be ended when this was closed, as long as it lives; else its claim tells."""
        return False if living(self._unended.get(directory, ())) else None

    def examine(self, providers: Sequence[ProviderReference], scratch: Path, wait_seconds: float) -> Iterator[Finding]:
        """Import the providers: on the coordinator's own machine there is nothing else to look at."""
        from climate_ref_prefect.execution.worker.doctor_node_checks import ProviderCheck, import_provider  # noqa: PLC0415
        from climate_ref_prefect.transports.doctor.check_provider_import import HERE, judge_provider  # noqa: PLC0415 - for doctor

        yield note(f"`{self.name}` runs executions on this machine: there is nothing to check but providers.")
        for reference in providers:
            answer = import_provider(reference.model_dump_json(), self.limits.import_deadline_seconds)
            yield judge_provider(ProviderCheck.model_validate_json(answer), HERE)

    def close(self, timeout_seconds: float = 10.0) -> None:
        """Cancel all executions and end the provider servers."""
        with _OPENING:
            children, self._children, self._servers = self._children, None, None
        if children is not None:
            try:
                children.close(timeout_seconds)
            finally:
                self._unended.update(children.unended)

    def _open(self) -> SubprocessPool:
        with _OPENING:
            if self._children is None:
                servers = self._servers if self._servers and not self._servers.closed else ServerPool()
                self._children = SubprocessPool(self.packing(), servers)
            return self._children
