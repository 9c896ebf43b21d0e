"""`executor = "climate_ref_prefect.ref.PrefectExecutor"`: REF's solves on this package."""

import weakref
from pathlib import Path
from typing import Any

from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.flows.planning.plan import PlannedExecution
from climate_ref_prefect.ref import upstream
from climate_ref_prefect.ref.command_errors import commands_end_in_words
from climate_ref_prefect.ref.executor_settings import ExecutorSettings, read_executor_settings
from climate_ref_prefect.ref.hints.open_sizing import open_sizing
from climate_ref_prefect.ref.path_variables import make_path_variables_absolute
from climate_ref_prefect.ref.plan_execution import ExecutionPlanner
from climate_ref_prefect.ref.solve_session import SolveSession


class PrefectExecutor:
    """
    Runs REF's executions through this package's lifecycle, each at its own size, with retries.

    Making one settles what a solve that was killed has left, so that REF decides about what is true. Nothing starts
    before `join`. Where an error of this package ends a command of REF's, its words are all that is printed.

    Parameters
    ----------
    config
        REF's configuration; None for its default.
    database
        REF's database, on which its solve works; None for that of the configuration.
    options
        What `[executor.config]` in `ref.toml` says; see `ExecutorSettings`.

    Raises
    ------
    UpstreamMissingError
        If climate-ref is missing, or of a version that this package does not work with.
    BadInputError
        If an option, the transport or the database is invalid.
    CoordinatorBusyError
        If another solve of this executor works on the same database.
    """

    name = "prefect"
    collects_results_on_join = True
    """Nothing is recorded without `join`: a solve with `--no-wait` ends with everything cancelled, to be run again."""

    def __init__(self, *, config: Any = None, database: Any = None, **options: Any) -> None:
        with commands_end_in_words():
            upstream.require()
            make_path_variables_absolute()
            self.config = config if config is not None else upstream.Config.default()
            self.database = database if database is not None else self._own_database()
            self._open(read_executor_settings(options))
        self._pending: list[PlannedExecution] = []

    def _own_database(self) -> Any:
        database = upstream.Database.from_config(self.config, run_migrations=False)
        weakref.finalize(self, database.close)
        return database

    def _open(self, executor_settings: ExecutorSettings) -> None:
        settings = executor_settings.workspace_settings(self.config, upstream.configuration_directory())
        self._transport = executor_settings.open_transport(settings)
        self._planner = ExecutionPlanner(self.config, open_sizing(self.config, settings, executor_settings.hints))
        self._session = SolveSession(
            self.config, self.database, settings, self._transport, executor_settings.retry_rules
        )

    @property
    def runs_on_solve_host(self) -> bool:
        """Whether executions run on this machine, so that REF's check of its providers here says something of them."""
        return not self._transport.traits.may_outlive_coordinator

    def run(self, definition: Any, execution: Any = None) -> None:
        """
        Take an execution, which `join` runs.

        Parameters
        ----------
        definition
            REF's definition.
        execution
            REF's row of it.
        """
        if execution is None:
            raise BadInputError(
                f"{definition.execution_slug()} has no row in REF's database, and this executor records nowhere else. "
                "Use REF's SynchronousExecutor for what is not to be recorded."
            )
        planned = self._planner.plan(definition, provider_version=execution.provider_version or "0")
        self._session.expect(planned.definition, execution.id, Path(definition.output_directory))
        self._pending.append(planned)

    def join(self, timeout: float) -> None:
        """
        Run everything that was taken, retries included, and return when all of it is recorded.

        Parameters
        ----------
        timeout
            Most seconds that it may take; 0 or less for no limit.

        Raises
        ------
        TimeoutError
            If it takes longer. What runs is stopped, and its groups are dirty.
        """
        pending, self._pending = self._pending, []
        with commands_end_in_words():
            self._session.run(pending, timeout)
        # REF goes on with connections that it has from before, and does not look whether PostgreSQL has ended them.
        self.database.session.get_bind().dispose()

    def end_early(self, detail: str) -> None:
        """
        Release the database where `join` has not been called; safe to repeat, and after `join`.

        Parameters
        ----------
        detail
            Why nothing is run, recorded with what was taken.
        """
        self._session.end_early(detail)
