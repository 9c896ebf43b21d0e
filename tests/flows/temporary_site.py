"""A site of one test: its state directory, made-up data, notes of what ran, and a look at what is recorded."""

import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.output_manifest import manifest
from climate_ref_prefect.flows import solve as flows
from climate_ref_prefect.flows.report.solve_report import ExecutionsFailedError, SolveReport
from climate_ref_prefect.flows.settings import Settings
from climate_ref_prefect.flows.workspace.workspace import lock_holder
from climate_ref_prefect.store.lock_file import Holder
from climate_ref_prefect.store.sql.sql_store import Store, open_store
from climate_ref_prefect.testing.executions import QUICK
from climate_ref_prefect.testing.processes import wait_until
from climate_ref_prefect.transports.port import Transport
from climate_ref_prefect.transports.this_machine.in_parallel import LocalTransport
from tests.diagnostics.cmip6_trees import add
from tests.flows.run_log import DATABASE, NOTES, Run, read_runs

PROVIDER = "tests.flows.providers:provider"
"""The default provider of a site."""

_ATTEMPTS = """
SELECT e.id, d.slug, g.key, e.attempt, e.replaces_id, e.status, e.successful, e.retryable, e.counted,
       e.failure_kind, e.failure_message, e.asked_memory_mb, e.asked_wall_clock_seconds, e.fragment, e.results_path
FROM execution e JOIN execution_group g ON g.id = e.group_id JOIN diagnostic d ON d.id = g.diagnostic_id
ORDER BY e.id
"""
_DIRTY = "SELECT d.slug, g.key FROM execution_group g JOIN diagnostic d ON d.id = g.diagnostic_id WHERE g.dirty"


class AttemptRow(NamedTuple):
    """A row of the table `execution`, as it is."""

    execution_id: int
    diagnostic: str
    key: str
    attempt: int
    replaces: int | None
    status: str
    successful: bool | None
    retryable: bool | None
    counted: bool | None
    failure_kind: str | None
    message: str | None
    memory_mb: int
    wall_clock_seconds: float
    fragment: str
    results_path: str | None


@dataclass(frozen=True)
class Solved:
    """A solve that has ended."""

    report: SolveReport
    flow_run_id: UUID


class Site:
    """
    Everything that one test needs to solve, all of it below one directory.

    Parameters
    ----------
    root
        Need not exist.
    environment
        Where the settings of a coordinator are made, until the test ends.
    """

    def __init__(self, root: Path, environment: pytest.MonkeyPatch) -> None:
        self.data = root / "data"
        self.notes = root / "notes"
        self.notes.mkdir(parents=True)
        self._environment = environment
        environment.setenv(NOTES, str(self.notes))
        self.configure(home=root / "state", keep_documents=True)  # which say who ran what, and what it left

    @property
    def home(self) -> Path:
        """The state directory."""
        return Settings().home_directory

    @property
    def _database(self) -> Path:
        return self.home / "climate-ref-prefect.db"

    def configure(self, **settings: object) -> None:
        """Set what a coordinator reads from its environment."""
        for name, value in settings.items():
            self._environment.setenv(f"CLIMATE_REF_PREFECT_{name.upper()}", str(value))
        if "home" in settings:
            self._environment.setenv(DATABASE, f"{settings['home']}/climate-ref-prefect.db")

    def add_models(self, *names: str) -> None:
        """Make data of some models."""
        for name in names:
            add(self.data, f"CMIP6/CMIP/Somebody/{name}/historical/r1i1p1f1/Amon/ta/gn/v20190429")

    def solve(
        self,
        *diagnostics: str,
        transport: Transport | None = None,
        providers: Sequence[str] = (PROVIDER,),
        **options: Any,
    ) -> Solved:
        """Solve with some diagnostics as a flow run of its own; raises what that raises."""
        state = flows.solve(
            str(self.data),
            list(providers),
            list(diagnostics) or None,
            transport or LocalTransport(cpu=2, limits=QUICK),
            return_state=True,
            **options,
        )
        try:
            report: object = state.result()
        except ExecutionsFailedError as error:
            report = error.report
        assert isinstance(report, SolveReport)
        assert state.state_details.flow_run_id is not None
        return Solved(report, state.state_details.flow_run_id)

    def attempts(self, diagnostic: str | None = None, key: str | None = None) -> list[AttemptRow]:
        """Return all attempts in the order in which they were allocated, or those of a diagnostic or a key."""
        if not self._database.exists() or not self.query("SELECT 1 FROM sqlite_master WHERE name = 'execution'"):
            return []
        return [
            row
            for row in (AttemptRow(*values) for values in self.query(_ATTEMPTS))
            if diagnostic in (None, row.diagnostic) and key in (None, row.key)
        ]

    def dirty(self) -> set[str]:
        """Return the groups that are to be run again, as `diagnostic/key`."""
        return {f"{diagnostic}/{key}" for diagnostic, key in self.query(_DIRTY)}

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask the database."""
        with closing(sqlite3.connect(self._database)) as connection:
            return connection.execute(statement).fetchall()

    def store(self) -> Store:
        """Open the store."""
        return open_store(Settings().store_url)

    def runs(self, diagnostic: str | None = None) -> list[Run]:
        """Return every run of a diagnostic that was begun, in order."""
        return [run for run in read_runs(self.notes) if diagnostic in (None, run.diagnostic)]

    def published(self) -> set[str]:
        """Return the fragments that are to be seen in the results directory."""
        results = Settings().results_directory
        return {str(path.relative_to(results)) for path in results.glob("*/*/*/*")}

    def holder(self) -> Holder | None:
        """Return who coordinates here."""
        return lock_holder(Settings())

    def assert_settled(self) -> None:
        """Hold that the database is whole, has nothing in progress, and that nothing half-published is to be seen."""
        assert self.query("PRAGMA integrity_check") == [("ok",)]
        assert not self.query("PRAGMA foreign_key_check")
        assert {row.status for row in self.attempts()} <= {"finished"}
        assert {row.fragment for row in self.attempts() if row.results_path} <= self.published()
        for fragment in self.published():
            self._assert_whole(fragment)

    def _assert_whole(self, fragment: str) -> None:
        outcome = ExecutionDirectory(Settings().scratch_directory / fragment).read_outcome()
        assert outcome is not None
        left = {record.path: record for record in outcome.manifest}
        published = Settings().results_directory / fragment
        seen = {record.path: record for record in manifest(published)}
        assert (published / "run.log").is_file()
        assert seen == left

    def assert_nothing_ran_twice(self) -> None:
        """Hold that no execution ran more than once, and that no group was run again after it had succeeded."""
        directories = Counter(run.directory for run in self.runs())
        assert not {directory for directory, times in directories.items() if times > 1}
        succeeded = Counter((row.diagnostic, row.key) for row in self.attempts() if row.successful)
        assert not {group for group, times in succeeded.items() if times > 1}


def minutes(row: AttemptRow) -> timedelta:
    """Return the time limit of an attempt."""
    return timedelta(seconds=row.wall_clock_seconds)


def when(predicate: Callable[[], object], timeout_seconds: float = 30.0) -> None:
    """Wait for a condition."""
    wait_until(lambda: bool(predicate()), timeout_seconds)


def environment() -> dict[str, str]:
    """Return the environment for a coordinator in a process of its own; it finds the tests' modules."""
    return {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    }
