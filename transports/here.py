"""What `inline` and `local` share: executions that are child processes of this machine."""

import threading
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Final

from pydantic import PrivateAttr

from climate_ref_prefect.diagnostics.definition import ProviderReference
from climate_ref_prefect.diagnostics.resources import ResourceHint
from climate_ref_prefect.transports.base import TransportModel
from climate_ref_prefect.transports.children import Children
from climate_ref_prefect.transports.doctor.finding import Finding, note
from climate_ref_prefect.transports.packing import Packing
from climate_ref_prefect.transports.port import Ended, Submission, Traits
from climate_ref_prefect.transports.worker.execute import ServerPool
from climate_ref_prefect.transports.worker.process_tree import living

_OPENING: Final = threading.Lock()
"""The thread that waits and those that submit may be the first at the same time."""


class HereTransport(TransportModel):
    """Runs executions on this machine, as many at once as a packing admits."""

    # Its executions are processes of the coordinator's own host, or of the batch job that the coordinator runs in.
    traits: ClassVar[Traits] = Traits(fields_in_forms=True, usable_by_name=True, may_outlive_coordinator=False)

    _children: Children | None = PrivateAttr(default=None)
    _servers: ServerPool | None = PrivateAttr(default=None)
    _unended: dict[Path, list[int]] = PrivateAttr(default_factory=dict)

    @abstractmethod
    def packing(self) -> Packing[Path]:
        """Return what says which executions may run together."""

    def take_servers(self, servers: ServerPool) -> None:
        """Fork from servers that run already, until this is closed, which closes them as well."""
        self._servers = servers

    def submit(self, directory: Path, resources: ResourceHint) -> Submission:
        """Queue an execution; it starts as soon as the packing admits it."""
        submission = Submission(transport=self.name, directory=directory.absolute())
        self._open().submit(submission, self.check(resources))
        return submission

    def wait(self, timeout_seconds: float) -> list[Ended]:
        """Return what has ended, waiting up to `timeout_seconds` for the first."""
        return self._open().wait(timeout_seconds)

    def cancel(self, submission: Submission) -> None:
        """Stop an execution with its whole process tree, or keep it from starting."""
        self._open().cancel(submission.directory)

    def is_over(self, directory: Path) -> bool | None:
        """Return false of what could not be ended when this was closed, as long as it lives; else its claim tells."""
        return False if living(self._unended.get(directory, ())) else None

    def examine(self, providers: Sequence[ProviderReference], scratch: Path, wait_seconds: float) -> Iterator[Finding]:
        """Import the providers: on the coordinator's own machine there is nothing else to look at."""
        from climate_ref_prefect.transports.doctor.provider import HERE, judge_provider  # noqa: PLC0415 - for doctor
        from climate_ref_prefect.transports.worker.checkup import ProviderCheck, import_provider  # noqa: PLC0415

        yield note(f"`{self.name}` runs executions on this machine: there is nothing to check but providers.")
        for reference in providers:
            answer = import_provider(reference.model_dump_json(), self.limits.import_deadline_seconds)
            yield judge_provider(ProviderCheck.model_validate_json(answer), HERE)

    def close(self, timeout_seconds: float = 10.0) -> None:
        """Stop all that runs and the providers' servers."""
        with _OPENING:
            children, self._children, self._servers = self._children, None, None
        if children is not None:
            try:
                children.close(timeout_seconds)
            finally:
                self._unended.update(children.unended)

    def _open(self) -> Children:
        with _OPENING:
            if self._children is None:
                servers = self._servers if self._servers and not self._servers.closed else ServerPool()
                self._children = Children(self.packing(), servers)
            return self._children
