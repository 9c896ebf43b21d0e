"""What a solve says about how many of its task runs Prefect's server shows."""

from climate_ref_prefect.diagnostics.base_models import FrozenModel


class RecordedTaskRuns(FrozenModel):
    """Number of task runs, and number of those that the server shows in a final state."""

    finished: int
    recorded: int
    seconds: float
    """How long the server took to record the rest after the flow had done its work."""

    @property
    def complete(self) -> bool:
        """Whether the server shows all of them."""
        return self.recorded >= self.finished

    def headline(self) -> str:
        """Return in one sentence how many the server shows."""
        return f"Prefect's server shows {self.recorded} of {self.finished} task runs in a final state."
