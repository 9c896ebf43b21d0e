"""Open the workspace for a flow that coordinates, with escaped logs and short retries of Prefect's server."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from climate_ref_prefect.flows.display.log_escaping import escaped_logs
from climate_ref_prefect.flows.retry.retry_rules import RetryRule
from climate_ref_prefect.flows.server.best_effort_calls import short_retries
from climate_ref_prefect.flows.settings import Settings
from climate_ref_prefect.flows.workspace.workspace import StoreWorkspace, open_workspace


@contextmanager
def coordinator_workspace(retry_rules: Sequence[RetryRule] = ()) -> Iterator[StoreWorkspace]:
    """
    Open the workspace that the settings name, for the current flow run to coordinate in.

    Parameters
    ----------
    retry_rules
        Come before those of the site.

    Raises
    ------
    BadInputError
        If a directory, the database, the vocabulary or a retry rule is invalid.
    CoordinatorBusyError
        If another coordinator has the workspace.
    """
    with (
        short_retries(),
        escaped_logs(),
        open_workspace(
            Settings(),
            coordinating=True,
            flow_run_id=flow_run.id,
            retry_rules=retry_rules,
            notify=get_run_logger().warning,
        ) as workspace,
    ):
        yield workspace
