"""Settle what a killed solve of REF has left, and start nothing."""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

from climate_ref_prefect.flows.replay_abandoned import RecoveryReport
from climate_ref_prefect.flows.retry.retry_rules import RetryRule
from climate_ref_prefect.flows.transport_parameter import Site
from climate_ref_prefect.ref import upstream
from climate_ref_prefect.ref.attempt_reports import AttemptReports
from climate_ref_prefect.ref.cli.ref_configuration import executor_settings, load_configuration
from climate_ref_prefect.ref.recorder import RefRecorder
from climate_ref_prefect.ref.schema_revision import check_revision
from climate_ref_prefect.ref.solve_request import ConfiguredTransport
from climate_ref_prefect.ref.solve_session import SolveSession
from climate_ref_prefect.store.errors import CoordinatorBusyError
from climate_ref_prefect.transports.port import Transport


class RefRecoveryReport(RecoveryReport):
    """Report on what a killed solve of REF had left."""

    not_started: int = 0
    """Executions that REF had made and nothing had run yet. Their groups are dirty."""

    def headline(self) -> str:
        """Return the outcome in one sentence."""
        if self.busy or not self.not_started:
            return super().headline()
        return f"{super().headline()} {self.not_started} had not been started: the next solve runs them."

    def remarks(self) -> Iterator[str]:
        """Yield what to do about those that were left alone."""
        if self.running:
            yield "What may still run is settled by the next `ref-recover` or `ref solve` once it has ended."
        for name in sorted({row.transport or "" for row in self.elsewhere}):
            yield f"What was given to the transport {name!r} is settled by a `ref-recover` with that transport."


def recover_ref(
    transport: Transport | Site | ConfiguredTransport, retry_rules: Sequence[RetryRule] = ()
) -> RefRecoveryReport:
    """
    Record the results and classify the failures that a killed solve has left, in the current flow run.

    Parameters
    ----------
    transport
        Where its executions were run; it can tell which of them have ended.
    retry_rules
        Come before those of `[executor.config]` and of the state directory.

    Raises
    ------
    UpstreamMissingError
        If climate-ref is missing.
    BadInputError
        If `ref.toml` or an option of the executor is invalid, or REF's database is not migrated.
    """
    began = time.monotonic()
    config = load_configuration()
    executor = executor_settings(config, transport)
    workspace = executor.workspace_settings(config, upstream.configuration_directory())
    place = executor.open_transport(workspace)
    rules = (*retry_rules, *executor.retry_rules)
    with closing(upstream.Database.from_config(config, run_migrations=False)) as database:
        check_revision(database, config)
        attempted, made = _left_behind(config)
        try:
            SolveSession(config, database, workspace, place, rules).close()  # Opening it settles everything.
        except CoordinatorBusyError as busy:
            return RefRecoveryReport(transport=place.name, busy=str(busy))
    with closing(AttemptReports(config)) as reports:
        rows = reports.last_of(attempted)
    report = RefRecoveryReport.of(rows, place.name, time.monotonic() - began)
    return report.model_copy(update={"not_started": len(set(made).difference(attempted))})


def _left_behind(config: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return REF's executions with attempts that have not ended, and all that were made for this executor."""
    recorder = RefRecorder(config)
    with closing(recorder.database) as database:
        if not database.has_tables():
            return (), ()
        return tuple(one.execution_id for one in recorder.unfinished()), recorder.submitted()
