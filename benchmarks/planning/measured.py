"""
What is measured of one version, in a process of its own: `python measured.py WHAT DATA [OPTION ...]`.

`catalogue` reads the catalogue of a directory and prints its processor time, without that of imports. `settle` records
a success of every group, as if it had been run. Anything else is a command of `climate-ref-prefect`.
"""

import json
import resource
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.earlier_names import imported

PROVIDER = "benchmarks.planning.provider:alone"


def catalogue(data: Path) -> None:
    """Read the catalogue as a solve does, and print what that takes."""
    home = imported("Settings", "flows.settings")().home_directory
    home.mkdir(parents=True, exist_ok=True)
    try:
        scan = partial(imported("PlanningInputs", "flows.planning.planning_inputs")().catalogue, home=home)
    except SystemExit:  # An earlier commit keeps nothing.
        scan = imported("scan", "diagnostics.data_catalogue", "diagnostics.catalogue")
    before = _processor_seconds()
    found = scan(data)
    print(json.dumps({"cpu_seconds": _processor_seconds() - before, "datasets": len(found.datasets)}))


def settle(data: Path) -> None:
    """Record a success of every group in the database, below the lifecycle, which would take minutes."""
    plan = imported("plan_only", "flows.planning.plan_solve", "flows.solve")
    transport = imported("LocalTransport", "transports.this_machine.in_parallel", "transports.local")
    home = imported("Settings", "flows.settings")().home_directory
    definitions = [item.definition for item in plan(str(data), [PROVIDER], None, transport(), "none").executions]
    with closing(sqlite3.connect(home / "climate-ref-prefect.db")) as connection:
        connection.execute("INSERT INTO provider (id, slug) VALUES (1, 'benchmark')")
        connection.execute("INSERT INTO diagnostic (id, provider_id, slug) VALUES (1, 1, 'alone')")
        groups = [{"id": number, "diagnostic_id": 1, "key": one.key} for number, one in enumerate(definitions, 1)]
        _insert(connection, "execution_group", [{**group, "selectors": "{}", "dirty": 0} for group in groups])
        _insert(connection, "execution", [_success(number, one) for number, one in enumerate(definitions, 1)])
        connection.commit()


def _success(number: int, definition: Any) -> dict[str, object]:
    return {
        "id": number,
        "group_id": number,
        "fragment": f"benchmark/{number}",
        "input_hash": definition.input_hash,
        "provider_version": "1",
        "diagnostic_version": "1",
        "attempt": 1,
        "status": "finished",
        "created_at": "2026-01-01 00:00:00",
        "asked_memory_mb": 1024,
        "asked_cpu": 1,
        "asked_wall_clock_seconds": 600,
        "successful": 1,
        "retryable": 0,
        "counted": 1,
    }


def _insert(connection: sqlite3.Connection, table: str, rows: Sequence[dict[str, object]]) -> None:
    columns = ", ".join(rows[0])
    values = ", ".join(f":{column}" for column in rows[0])
    connection.executemany(f"INSERT INTO {table} ({columns}) VALUES ({values})", rows)


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Do what the command line says."""
    what, data, *options = sys.argv[1:]
    if what == "catalogue":
        catalogue(Path(data))
    elif what == "settle":
        settle(Path(data))
    else:
        sys.argv = ["climate-ref-prefect", what, "--data", data, *options]
        imported("main", "flows.cli.main", "flows.command")()


if __name__ == "__main__":
    main()
