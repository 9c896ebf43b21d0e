"""A REF whose executions do what a test tells them, and what its database says of them."""

import json
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, NullPool, create_engine, inspect, text

from climate_ref_prefect.ref.tables import attempts
from climate_ref_prefect.testing.processes import wait_until
from tests.ref.home import OURS, RefHome
from tests.ref.trial_provider import HELD, IMPORT, RELEASE, RUNS

TRIAL = "tests.ref.trial_provider:provider"
ROOT = Path(__file__).parents[2]
SOURCES = 3
SLOTS = 2
START_SECONDS = 120.0
MEMORY_MB = 20_000
"""More than this machine has: what matters is how much each execution gets."""
Row = tuple[bool | None, str | None, bool]
"""Result, reason of the failure, and whether the group is dirty."""
fault = pytest.mark.fault
"""Names the line of the page's table that a test is for; `tests/docs` holds that both have the same."""


class Trial:
    """
    A REF whose executions do what they are told.

    Parameters
    ----------
    home
        The REF, which is configured anew.
    database_url
        Of its database; SQLite in the home if left out.
    """

    def __init__(self, home: RefHome, database_url: str = "") -> None:
        self.home = home
        self._url = database_url
        self.configure()

    def configure(
        self, *more: str, provider: str = TRIAL, memory_mb: int = MEMORY_MB, scratch: Path | None = None
    ) -> None:
        """Write `ref.toml`; `more` are lines of TOML for the executor."""
        options = ['transport = "local"', f"cpu = {SLOTS}", f"memory_mb = {memory_mb}", *more]
        top = ["[db]", f'database_url = "{self._url}"'] if self._url else []
        self.home.configure(OURS, options, [provider], top, [f'scratch = "{scratch}"'] if scratch else [])

    def behave(self, word: str, source: str = "") -> None:
        """Have the executions of one source, or of all others, behave so."""
        name = f"behaviour-{source}" if source else "behaviour"
        (self.home.configuration / name).write_text(word, encoding="utf-8")

    def hint(self, **fields: object) -> None:
        """Say in the table of hints what every execution gets."""
        directory = self.home.configuration / "climate-ref-prefect"
        directory.mkdir(exist_ok=True)
        (directory / "hints.yaml").write_text(json.dumps([{"match": "*/*", **fields}]), encoding="utf-8")

    def sources(self) -> list[str]:
        return [row[0] for row in self._ask("SELECT DISTINCT source_id FROM cmip6_dataset ORDER BY source_id")]

    def rows(self) -> list[Row]:
        """Return REF's executions, oldest first."""
        found = self._ask(
            "SELECT successful, failure_reason, dirty FROM execution "
            "JOIN execution_group ON execution_group.id = execution_group_id ORDER BY execution.id"
        )
        return [(None if done is None else bool(done), reason, bool(dirty)) for done, reason, dirty in found]

    def attempts(self) -> list[int]:
        """Return how many attempts there were at each of REF's executions."""
        return [
            count for (count,) in self._ask("SELECT count(*) FROM climate_ref_prefect_attempt GROUP BY execution_id")
        ]

    def runs(self) -> list[tuple[str, str]]:
        """Return source and batch job of each attempt that has begun to run, in that order."""
        notes = self.home.configuration / RUNS
        lines = notes.read_text(encoding="utf-8").splitlines() if notes.exists() else []
        return [(source, job) for source, job in map(str.split, lines)]

    def given(self, key: str) -> list[dict[str, Any]]:
        """Return what each attempt at a source was given, in their order."""
        found = self._ask_attempts("resources", f"WHERE key LIKE '%{key}%'")
        return [json.loads(resources) for (resources,) in found]

    def kinds(self) -> list[str | None]:
        """Return the failure kind of each attempt, in their order; None for a success and what has not ended."""
        return [kind for (kind,) in self._ask_attempts("failure_kind")]

    def _ask_attempts(self, column: str, condition: str = "") -> list[tuple]:  # type: ignore[type-arg]  # as below
        with self._connection() as connection:
            if not inspect(connection).has_table(attempts.name):  # nobody has coordinated yet
                return []
        return self._ask(f"SELECT {column} FROM {attempts.name} {condition} ORDER BY id")

    def values(self) -> list[float]:
        return [value for (value,) in self._ask("SELECT value FROM metric_value ORDER BY id")]

    def logs(self) -> str:
        """Return REF's logs of all executions, as `ref executions inspect` has them."""
        paths = (self.home.configuration / "results").rglob("out.log")
        return "\n".join(path.read_text(encoding="utf-8") for path in paths)

    def _ask(self, query: str) -> list[tuple]:  # type: ignore[type-arg]  # whatever the columns hold
        with self._connection() as connection:
            return [tuple(row) for row in connection.execute(text(query))]

    def tell(self, statement: str) -> None:
        """Change REF's database."""
        with self._connection() as connection:
            connection.execute(text(statement))

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        engine = create_engine(self._url or f"sqlite:///{self.home.database}", poolclass=NullPool)
        with engine.begin() as connection:
            yield connection

    def outcomes(self) -> int:
        """Return how many attempts have left an outcome."""
        scratch = self.home.configuration / "scratch" / "climate-ref-prefect"
        return len(list(scratch.glob("trial/**/outcome.json")))

    def held(self) -> list[int]:
        """Return the processes of executions that are held."""
        return [int(path.read_text()) for path in self.home.configuration.glob(f"{HELD}*") if path.read_text()]

    def release(self) -> None:
        """Let everything that is held go on, and hold nothing any more."""
        (self.home.configuration / RELEASE).touch()

    @contextmanager
    def holding(self, **variables: str | None) -> Iterator[subprocess.Popen[str]]:
        """Give a solve that runs as many executions as it can, each of which is held."""
        self.behave("hold")
        with self._holding(SLOTS, **variables) as solve:
            yield solve

    @contextmanager
    def holding_import(self, **variables: str | None) -> Iterator[subprocess.Popen[str]]:
        """Give a solve of which nothing is claimed yet: a worker that imports the provider is held."""
        self.hold_import()
        with self._holding(1, **variables) as solve:
            (self.home.configuration / IMPORT).unlink()
            yield solve

    def hold_import(self, word: str = "hold") -> None:
        """Have a worker hold, or break, when it imports the provider."""
        (self.home.configuration / IMPORT).write_text(word, encoding="utf-8")

    @contextmanager
    def _holding(self, number: int, **variables: str | None) -> Iterator[subprocess.Popen[str]]:
        with self.home.start("solve", **variables) as solve:
            try:
                wait_until(lambda: len(self.held()) == number or solve.poll() is not None, START_SECONDS)
                assert solve.poll() is None, solve.communicate()[0]
                yield solve
            finally:
                self.release()
                with suppress(subprocess.TimeoutExpired):
                    solve.communicate(timeout=START_SECONDS)
                solve.kill()


def lock(database: Path) -> sqlite3.Connection:
    """Lock a database against everybody, until the connection is closed."""
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    return connection


def trial_path() -> str:
    """Return the PYTHONPATH with which `ref` finds the provider of the trial."""
    return os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
