"""The envelope: all that a worker needs to know about one execution, and the limits that it holds it to."""

from pathlib import Path

from pydantic import Field, field_validator

from climate_ref_prefect.diagnostics.base_models import Document, FrozenModel
from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition, ProviderReference
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint


class WorkerLimits(FrozenModel):
    """Limits that the supervisor of an execution enforces, beside those of its resource hint."""

    import_deadline_seconds: float = Field(default=120.0, gt=0)
    """How long importing and warming up a provider may take."""

    kill_grace_seconds: float = Field(default=5.0, ge=0)
    """Time between SIGTERM and SIGKILL."""

    heartbeat_seconds: float = Field(default=5.0, gt=0)
    """How often `telemetry.json` is replaced."""

    check_inputs: bool = True
    """Whether the input files are compared with the planned ones, before a diagnostic runs and after it."""

    describe_deadline_seconds: float = Field(default=3600.0, gt=0)
    """How long reading and hashing the files that a result names may take, after the diagnostic has ended."""

    max_log_mb: int = Field(default=50, ge=1)
    """Largest size of `run.log` that is kept, in MiB: half of it for its beginning and half for its end."""

    memory_tolerance: float | None = Field(default=0.1, ge=0)
    """Fraction of `memory_mb` that may be used beyond it before the execution is stopped; None never stops it."""

    finish_without_caller: bool = False
    """Whether an execution goes on after the process that started it has ended."""


class ExecutionEnvelope(Document):
    """All that a worker needs to know about one execution. It holds no session, configuration or vocabulary."""

    execution_id: int
    fragment: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_./-]*$")
    """Directory of the execution below scratch and results."""

    provider: ProviderReference
    definition: ExecutionDefinition
    resources: ResourceHint
    limits: WorkerLimits = WorkerLimits()
    output_directory: Path | None = None
    """
    Where the diagnostic writes, absolute; none for `output` in the execution's directory.

    Another directory is made where it is missing. It is neither emptied before the execution nor removed after it.
    """

    @property
    def label(self) -> str:
        """Name for people: the definition and the number of the execution."""
        return f"{self.definition.label} #{self.execution_id}"

    @field_validator("fragment")
    @classmethod
    def _stays_inside(cls, fragment: str) -> str:
        if ".." in fragment.split("/"):
            raise ValueError(f"fragment {fragment!r} leaves its root")
        return fragment

    @field_validator("output_directory")
    @classmethod
    def _is_absolute(cls, directory: Path | None) -> Path | None:
        if directory is not None and not directory.is_absolute():
            raise ValueError(f"output_directory {str(directory)!r} is not absolute")
        return directory
