"""Databases as earlier versions have left them."""

import sqlite3
from contextlib import closing
from pathlib import Path

_DUMP = Path(__file__).parent / "dumps" / "revision_0001.sql"
"""Of a solve with three diagnostics on two models; `own-error` was given up, `flaky` has failed once."""


def restore_first_schema(database: Path, data: Path, results: Path) -> None:
    """Make an SQLite file of the first schema, as commit 737fb9b left it; its rows name data and results."""
    written = _DUMP.read_text(encoding="utf-8").replace("@DATA@", str(data)).replace("@RESULTS@", str(results))
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(written)
