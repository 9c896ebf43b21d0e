"""What a solve says about the executions that a dead coordinator has left."""

from climate_ref_prefect.diagnostics.base_models import FrozenModel


class Leftovers(FrozenModel):
    """What was done about the executions of a dead coordinator."""

    settled: int = 0
    """Executions that are finalised now. Those that have not succeeded will be run again."""

    elsewhere: tuple[str, ...] = ()
    """Labels of executions that still run in a batch job or on another host. They are left alone."""
