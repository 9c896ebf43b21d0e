"""What a solve says about the executions that a dead coordinator has left."""

from climate_ref_prefect.diagnostics.base_models import FrozenModel


class Leftovers(FrozenModel):
    """What was done about the executions of a dead coordinator."""

    settled: int = 0
    """Executions that are finalised now. Those that have neither succeeded nor been given up will be run again."""

    given_up: int = 0
    """Those of them that were given up."""

    elsewhere: tuple[str, ...] = ()
    """Labels of executions that still run in a batch job or on another host. They are left alone."""
