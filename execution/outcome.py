"""The outcome of one execution, as plain data."""

from collections.abc import Mapping

from pydantic import Field, JsonValue, field_validator

from climate_ref_prefect.diagnostics.base_models import Document, FrozenModel
from climate_ref_prefect.execution.failure_kinds import FailureKind


class ExecutionFailure(FrozenModel):
    """Why an execution has no result."""

    kind: FailureKind
    message: str
    """One sentence for people: what happened and why as far as known."""

    details: str = ""
    """The traceback or the scheduler's own words."""

    @field_validator("message", "details")
    @classmethod
    def _can_be_written(cls, text: str) -> str:
        # Names of files need not be UTF-8; an error that mentions one must still reach outcome.json. No database of
        # PostgreSQL takes a NUL.
        return text.replace("\0", "\\x00").encode(errors="backslashreplace").decode()


class Telemetry(Document):
    """What an execution used; replaced on disk while it runs, so that it survives a kill."""

    sequence: int = Field(default=0, ge=0)
    """Counts the samples: it grows while the supervisor lives."""

    duration_seconds: float = Field(default=0.0, ge=0)
    cpu_seconds: float = Field(default=0.0, ge=0)
    """Processor time of the process tree."""

    peak_rss_mb: float = Field(default=0.0, ge=0)
    """Largest memory of the process tree, in MiB; an upper bound of it where the source is `rss`."""

    memory_source: str = "none"
    """
    How the memory was measured.

    `pss`: pages that processes share are shared out among them. `rss`: they count in full, which an execution that was
    short and far from its limit has. `rusage`: the kernel's account of what the child grew by. `none`: not at all.
    """

    host: str = ""
    started_at: float = 0.0
    """Seconds since the epoch, by the worker's clock."""

    exit_code: int | None = None
    """Of the child; negative for a signal, as in `subprocess`."""

    transport_meta: Mapping[str, JsonValue] = Field(default_factory=dict)
    """What the transport adds: job id, node, queue wait."""


class FileRecord(FrozenModel):
    """One file of the output: what it must be when it is published."""

    path: str
    """Relative to the output directory, with `/`."""

    size_bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class ExecutionOutcome(Document):
    """The final outcome of one attempt: success with its files, or a failure."""

    execution_id: int
    failure: ExecutionFailure | None = None
    """None when it succeeded."""

    manifest: tuple[FileRecord, ...] = ()
    """The bundles and every file that the output bundle names; empty unless it succeeded."""

    has_bundles: bool = True
    """Whether the files are the bundles of this package; not where the provider has results of its own."""

    telemetry: Telemetry = Telemetry()

    @property
    def succeeded(self) -> bool:
        """Whether the diagnostic ran and left a valid result."""
        return self.failure is None
