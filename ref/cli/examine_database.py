"""Check REF's database for `climate-ref-prefect ref doctor`: reachable, migrated, free, and nothing left behind."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final

from climate_ref_prefect.diagnostics.errors import ClimateRefPrefectError
from climate_ref_prefect.ref import upstream
from climate_ref_prefect.ref.recorder import RefRecorder
from climate_ref_prefect.ref.schema_revision import RevisionError, check_revision
from climate_ref_prefect.store.errors import SchemaError
from climate_ref_prefect.transports.doctor_finding import Finding, note, ok, wrong

_REMEDY: Final = (
    "if there is none yet, run `ref db migrate`; else see that it can be reached, and that `database_url` of [db] in "
    "ref.toml, or REF_DATABASE_URL, is right"
)

_SAID: Final = "mend that, and run `climate-ref-prefect ref doctor` again"


def examine_database(config: Any) -> Iterator[Finding]:
    """Yield the findings on REF's database, which is only read."""
    try:
        recorder = RefRecorder(config)
        with closing(recorder.database):
            yield _migration(config, recorder.name)
            yield from _coordinator(recorder)
    except (RevisionError, SchemaError) as error:  # They say what to do.
        yield wrong(str(error), _SAID)
    except ClimateRefPrefectError as error:
        yield wrong(str(error), _REMEDY)
    except Exception as error:  # noqa: BLE001 - REF and SQLAlchemy raise many kinds, and all of them mean the same
        reason = " ".join(str(error).partition("\n")[0].split())
        yield wrong(f"REF's database cannot be read: {type(error).__name__}: {reason}", _REMEDY)


def _migration(config: Any, name: str) -> Finding:
    with closing(upstream.Database.from_config(config, run_migrations=False, read_only=True)) as database:
        check_revision(database, config)
        groups = database.session.query(upstream.ExecutionGroup).count()
    return ok(f"REF's database {name} can be read and is migrated: {groups} groups of executions.")


def _coordinator(recorder: RefRecorder) -> Iterator[Finding]:
    if holder := recorder.database.coordinator():
        yield note(f"A solve works on it ({holder}): a second one would end at once. Wait for it, or end it.")
        return
    yield ok("No other solve of this executor works on it.")
    left = len(recorder.unfinished()) if recorder.database.has_tables() else 0
    if left:
        yield note(f"A solve that was killed has left {left} executions: the next `ref solve` settles them first.")
