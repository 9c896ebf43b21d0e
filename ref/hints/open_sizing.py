"""Open what sizes the executions of a solve: the operator's table, and what REF has measured so far."""

from contextlib import closing
from pathlib import Path
from typing import Any

from climate_ref_prefect.flows.settings import Settings
from climate_ref_prefect.ref import upstream
from climate_ref_prefect.ref.hints.hint_models import MeasuredHistory
from climate_ref_prefect.ref.hints.sizing import Sizing, hint_table

_BYTES_PER_MIB = 2**20


def open_sizing(config: Any, settings: Settings, table_file: Path | None) -> Sizing:
    """
    Return what sizes executions.

    Parameters
    ----------
    config
        REF's configuration, which names its database.
    settings
        Those of the workspace: its state directory is where the table usually lies.
    table_file
        The operator's table; None for the usual one, where it is there.

    Raises
    ------
    BadInputError
        If the table cannot be read or is invalid.
    """
    table = hint_table(table_file, settings.home_directory)
    return Sizing(table, measured_histories(config))


def measured_histories(config: Any) -> dict[str, MeasuredHistory]:
    """
    Return the histories of all diagnostics that REF has measured, by their full slugs.

    Parameters
    ----------
    config
        REF's configuration, which names its database. That is only read.
    """
    # A database of its own, since reading would leave a transaction open in the session of REF's solve.
    with closing(upstream.Database.from_config(config, run_migrations=False, read_only=True)) as database:
        profiles = upstream.Reader(database).resources.profiles()
    return {f"{profile.provider_slug}/{profile.diagnostic_slug}": _history(profile) for profile in profiles}


def _history(profile: Any) -> MeasuredHistory:
    return MeasuredHistory(
        executions=profile.sample_count,
        failed=profile.failed_execution_count,
        peak_memory_mb=-(-profile.peak_memory_bytes_p95 // _BYTES_PER_MIB),
        wall_seconds=profile.wall_seconds_p95,
    )
