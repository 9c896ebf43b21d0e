"""What a REF database and its results say about executions, in a form that two solves can be compared in."""

import hashlib
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tests.ref.home import RefHome

# What differs between two solves that have the same results: keys of the database and times.
UNCOMPARED = {"id", "execution_id", "created_at", "updated_at", "index_id", "type"}

SESSION = re.compile(r"recipe_\d{8}_\d{6}")
"""ESMValTool names its directory after the time."""


@dataclass(frozen=True)
class ExecutionRow:
    """One row of REF's table of executions."""

    slug: str
    key: str
    successful: bool | None
    failure_reason: str | None
    dirty: bool


class Used(NamedTuple):
    """REF's columns of what one execution used."""

    slug: str
    queue_seconds: float | None
    memory_limit_bytes: int | None
    cpu_limit: float | None
    context: dict[str, Any]


def executions(home: RefHome) -> list[ExecutionRow]:
    """Return the rows of all executions, in the order in which REF made them."""
    query = f"{_GROUPS.format('e.successful, e.failure_reason, g.dirty')} ORDER BY e.id"
    return [
        ExecutionRow(f"{p}/{d}", key, None if successful is None else bool(successful), reason, bool(dirty))
        for _, p, d, key, successful, reason, dirty in _rows(home, query)
    ]


def values(home: RefHome) -> list[str]:
    """Return one line for each scalar, series and output that the database holds, without what may differ."""
    named = {row[0]: "/".join(row[1:4]) for row in _rows(home, _GROUPS.format("1"))}
    axes = {row["id"]: row["values"] for row in _dictionaries(home, "SELECT * FROM index_axis")}
    lines = []
    for kind in ("metric_value", "execution_output"):
        for row in _dictionaries(home, f"SELECT * FROM {kind}"):
            kept = {name: row[name] for name in sorted(row) if name not in UNCOMPARED and row[name] is not None}
            line = f"{kind} {named[int(str(row['execution_id']))]} {kept} {axes.get(row.get('index_id'), '')}"
            lines.append(SESSION.sub("recipe", line.replace(str(home.configuration), "")))
    return sorted(lines)


def used(home: RefHome) -> list[Used]:
    """Return what REF's columns say that each execution was granted, and where it ran, in the order of its rows."""
    columns = "e.queue_seconds, e.memory_limit_bytes, e.cpu_limit, e.resource_context"
    return [
        Used(f"{p}/{d}", queued, memory, cpu, json.loads(context or "{}"))
        for _, p, d, _, queued, memory, cpu, context in _rows(home, f"{_GROUPS.format(columns)} ORDER BY e.id")
    ]


def data_files(home: RefHome) -> dict[str, str]:
    """
    Return the hash of the contents of each NetCDF file among the results, and of each CSV, by group and file name.

    REF keeps the tables of ILAMB on its scratch alone.
    """
    found = {}
    for _, provider, diagnostic, key, fragment in _rows(home, _GROUPS.format("e.output_fragment")):
        directory = home.configuration / "results" / fragment
        for file in sorted(directory.rglob("*.nc")):
            found[f"{provider}/{diagnostic}/{key}/{file.name}"] = _numbers(file)
        for file in sorted((home.configuration / "scratch" / fragment).rglob("*.csv")):
            contents = hashlib.sha256(file.read_bytes()).hexdigest()
            found[f"{provider}/{diagnostic}/{key}/{file.name}"] = contents
    return found


def _numbers(file: Path) -> str:
    """Hash the values of all variables: attributes hold times and paths of the run."""
    import netCDF4  # noqa: PLC0415 - heavy, and only here

    digest = hashlib.sha256()
    with netCDF4.Dataset(file) as dataset:
        dataset.set_auto_maskandscale(False)
        for name, variable in sorted(dataset.variables.items()):
            digest.update(name.encode() + variable[...].tobytes())
    return digest.hexdigest()


_GROUPS = """
SELECT e.id, p.slug, d.slug, g.key, {} FROM execution e JOIN execution_group g ON g.id = e.execution_group_id
JOIN diagnostic d ON d.id = g.diagnostic_id JOIN provider p ON p.id = d.provider_id
"""


def _rows(home: RefHome, query: str) -> list[tuple]:  # type: ignore[type-arg]
    with closing(sqlite3.connect(home.database)) as database:
        return database.execute(query).fetchall()


def _dictionaries(home: RefHome, query: str) -> Iterator[dict[str, object]]:
    with closing(sqlite3.connect(home.database)) as database:
        cursor = database.execute(query)
        names = [column[0] for column in cursor.description]
        yield from (dict(zip(names, row, strict=True)) for row in cursor)
