"""An execution that has run and left results: what a recorder is given to publish and to ingest."""

from pathlib import Path

from climate_ref_prefect.diagnostics.base_models import FrozenModel
from climate_ref_prefect.execution.envelope import ExecutionEnvelope
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.outcome import ExecutionOutcome


class FinishedExecution(FrozenModel):
    """A success: its envelope, its outcome, and the directories of its results."""

    envelope: ExecutionEnvelope
    outcome: ExecutionOutcome
    directory: Path
    """The execution's directory, `<scratch>/<fragment>`."""

    @property
    def execution_id(self) -> int:
        """The number that the recorder gave it."""
        return self.envelope.execution_id

    @property
    def label(self) -> str:
        """Name for people: group and execution."""
        return self.envelope.label

    @property
    def output(self) -> Path:
        """The directory that the diagnostic wrote to; `outcome.manifest` lists what is to be published of it."""
        return ExecutionDirectory(self.directory).output_of(self.envelope)
