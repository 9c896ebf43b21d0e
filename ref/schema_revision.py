"""Check that REF's database is at the revision that climate-ref wants: its commands see to it, flows do not."""

from typing import Any

from sqlalchemy import make_url

from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.ref import upstream
from climate_ref_prefect.store.sql.database_location import location_name
from climate_ref_prefect.store.sql.engine import explained


class RevisionError(BadInputError):
    """REF's database is at another revision than climate-ref wants. The message says what to do."""


def check_revision(database: Any, config: Any) -> None:
    """
    Check that REF's database is migrated.

    Parameters
    ----------
    database
        REF's `Database`.
    config
        REF's configuration.

    Raises
    ------
    RevisionError
        If it is at another revision.
    BadInputError
        If there is no database. The message says what to do.
    StoreUnavailableError
        If it cannot be reached.
    """
    name = location_name(make_url(config.db.database_url))
    with explained(name):
        status = database.migration_status(config)
    if status["current"] != status["head"]:
        raise RevisionError(
            f"REF's database {name} is at revision {status['current'] or 'none'}, and climate-ref "
            f"{upstream.installed_version()} wants {status['head']}: run `ref db migrate`. Where that knows no such "
            "revision, a newer climate-ref has migrated it: install that one."
        )
