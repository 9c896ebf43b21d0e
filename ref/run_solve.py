"""Solve with REF from Python: REF decides what is due and makes the executions, which run in the current flow run."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from contextvars import ContextVar
from typing import Any, Final

from climate_ref_prefect.flows.report.solve_report import ExecutionsReport
from climate_ref_prefect.flows.retry.retry_rules import RetryRule, retry_policies
from climate_ref_prefect.flows.transport_parameter import Site
from climate_ref_prefect.ref import upstream
from climate_ref_prefect.ref.attempt_reports import AttemptReports
from climate_ref_prefect.ref.cli.ref_configuration import executor_options, executor_settings, load_configuration
from climate_ref_prefect.ref.executor import PrefectExecutor
from climate_ref_prefect.ref.schema_revision import check_revision
from climate_ref_prefect.ref.solve_request import ConfiguredTransport, RefSolveRequest
from climate_ref_prefect.transports.port import Transport

_OPENED: ContextVar[ExitStack] = ContextVar("opened")
_STOPPED: Final = "the solve was stopped before it had handed everything over"


class RefSolveReport(ExecutionsReport):
    """Report of a solve of REF, shown as tables in notebooks, on consoles and in Prefect's UI."""

    not_run: int = 0
    """Executions that failed before there was an attempt at them."""

    unhealthy_providers: tuple[str, ...] = ()
    """Providers that REF's check has found unusable on this machine, and left out."""

    rules: Mapping[str, str] = {}
    """The retry rule of each diagnostic that was run."""

    @property
    def retry_rules(self) -> Mapping[str, str]:
        """The retry rule of each diagnostic that was run."""
        return self.rules

    @property
    def ok(self) -> bool:
        """Whether everything that was due has succeeded."""
        return not (self.failed or self.not_run or self.unhealthy_providers)

    @property
    def has_given_up(self) -> bool:
        """Whether something has failed for good, or could not be run."""
        return bool(self.not_run or self.unhealthy_providers) or super().has_given_up

    def headline(self) -> str:
        """Return the outcome in one sentence."""
        if not self.executions and self.ok:
            return "Nothing is due: REF has run everything that was asked for on these data."
        parts = self.counts()
        if self.not_run:
            parts.append(f"{self.not_run} were not run")
        if self.unhealthy_providers:
            parts.append(f"left out as unhealthy: {', '.join(self.unhealthy_providers)}")
        return f"{', '.join(parts)}; {self.seconds:.1f} s."

    def remarks(self) -> Iterator[str]:
        """Yield what to do next."""
        if self.failed:
            yield "`ref executions list-groups` gives numbers of groups, `ref executions inspect GROUP` the log of one."
        yield from self.next_steps()
        if self.unhealthy_providers:
            yield "`ref providers setup` makes what a provider needs on this machine."


class ExecutorOfFlow(PrefectExecutor):
    """The executor as a flow uses it: released with the solve, also where that never comes to `join`."""

    def __init__(self, *, config: Any = None, database: Any = None, **options: Any) -> None:
        super().__init__(config=config, database=database, **options)
        _OPENED.get().callback(self.end_early, _STOPPED)


def solve_with_ref(
    request: RefSolveRequest,
    transport: Transport | Site | ConfiguredTransport,
    timeout_seconds: int = 0,
    *,
    retry_rules: Sequence[RetryRule] = (),
) -> RefSolveReport:
    """
    Do what `ref solve` does, in the current flow run, and wait for the end.

    Parameters
    ----------
    request
        What to solve.
    transport
        Where executions run.
    timeout_seconds
        Most seconds that the executions may take; 0 for no limit.
    retry_rules
        Come before those of `[executor.config]` and of the state directory.

    Raises
    ------
    UpstreamMissingError
        If climate-ref is missing.
    BadInputError
        If `ref.toml`, an option of the executor or a filter is invalid, no provider matches, or REF's database is not
        migrated.
    CoordinatorBusyError
        If another solve works on REF's database.
    TimeoutError
        If it takes longer. What runs is stopped, and its groups are dirty.
    """
    began = time.monotonic()
    config = load_configuration()
    executor = executor_settings(config, transport)
    rules = (*retry_rules, *executor.retry_rules)
    settings = executor.workspace_settings(config, upstream.configuration_directory())
    with (
        closing(AttemptReports(config)) as reports,
        closing(upstream.Database.from_config(config, run_migrations=False)) as database,
        _executors_of_flow(config, {**executor_options(config, transport), "retry_rules": rules}),
    ):
        check_revision(database, config)
        before = reports.last_attempt()
        outcome = _solve(config, database, request, timeout_seconds)
        rows = reports.since(before)
    policies = retry_policies(settings, rules)
    failed = {row.execution_id for row in rows if row.successful is False}
    succeeded = {row.execution_id for row in rows if row.successful}
    return RefSolveReport(
        executions=rows,
        not_run=max(0, outcome.failed_executions - len(failed - succeeded)),
        unhealthy_providers=tuple(outcome.unhealthy_providers),
        rules={f"{row.provider}/{row.diagnostic}": policies.of(row.provider, row.diagnostic).rule for row in rows},
        seconds=time.monotonic() - began,
        results_directory=str(settings.results_directory),
    )


def _solve(config: Any, database: Any, request: RefSolveRequest, timeout_seconds: int) -> Any:
    solver = upstream.ExecutionSolver.build_from_db(config, database)
    request.check_providers(solver)
    return upstream.solve_required_executions(
        db=database,
        config=config,
        solver=solver,
        filters=request.filters(),
        limit=request.limit,
        one_per_provider=request.one_per_provider,
        one_per_diagnostic=request.one_per_diagnostic,
        rerun_failed=request.rerun_failed,
        timeout=timeout_seconds,
    )


@contextmanager
def _executors_of_flow(config: Any, options: Mapping[str, Any]) -> Iterator[None]:
    """Have a configuration of REF make this module's executor, whatever `ref.toml` names, and release it at the end."""
    config.executor.config = dict(options)
    config.executor.executor = f"{__name__}.{ExecutorOfFlow.__name__}"
    with ExitStack() as opened:
        token = _OPENED.set(opened)
        try:
            yield
        finally:
            _OPENED.reset(token)
