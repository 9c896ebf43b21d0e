"""Ownership of a results directory: one store, named in a file. Two stores would remove each other's results."""

import errno
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from climate_ref_prefect.diagnostics.base_models import Document
from climate_ref_prefect.diagnostics.errors import BadInputError, ClimateRefPrefectError
from climate_ref_prefect.diagnostics.execution_result import METRIC_BUNDLE
from climate_ref_prefect.execution.execution_directory import sync_directory
from climate_ref_prefect.store.sql.sql_store import Store

_WITHOUT_LINKS: Final = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)
MARKER: Final = "store.json"
_ANOTHER: Final = "give another directory in CLIMATE_REF_PREFECT_RESULTS"
_TAKE: Final = "if no other store publishes there any more, run `climate-ref-prefect db claim-results`"


class ResultsOwner(Document):
    """The store that owns a results directory."""

    store_id: str
    """The store's identity, as its database has it."""

    database: str
    """Location of the store when it took the directory, for people."""

    since: float
    """Seconds since the epoch."""


def check_results_owner(results: Path, store: Store) -> None:
    """
    Check that a results directory belongs to a store. A directory without owner is taken if it holds no other results.

    Results without a marker come from a version that wrote none. The store that has recorded any of them takes them.

    Parameters
    ----------
    results
        The directory, which exists.
    store
        The store of the coordinator.

    Raises
    ------
    BadInputError
        If it belongs, or may belong, to another store, or cannot be marked. The message names both and what to do.
    """
    owner = read_owner(results)
    if owner is None and not _has_strange_results(results, store):
        owner = _mark(results, store)
    if owner is None:
        raise BadInputError(
            f"The results directory {results} holds results that the store {store.name} has not recorded, and no "
            f"{MARKER} that says whose they are: {_ANOTHER}, or, {_TAKE}."
        )
    if owner.store_id != store.identity():
        raise BadInputError(
            f"The results directory {results} belongs to the store {owner.database} ({owner.store_id}), not to "
            f"{store.name} ({store.identity()}): {_ANOTHER}, or, {_TAKE}."
        )


def take_results(results: Path, store: Store) -> None:
    """Make a store the owner of a results directory, whichever store owned it. Raises `BadInputError` as above."""
    with _explained(results, store):
        (results / MARKER).unlink(missing_ok=True)
    _mark(results, store)


def read_owner(results: Path) -> ResultsOwner | None:
    """
    Return the owner of a results directory; None if it has no marker.

    Raises
    ------
    BadInputError
        If the marker is torn, of another version, or not a regular file.
    """
    path = results / MARKER
    try:
        return ResultsOwner.from_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, ClimateRefPrefectError) as error:
        reason = " ".join(str(error).split())
        raise BadInputError(
            f"{path}, which says to which store the results directory belongs, cannot be read ({reason}): {_ANOTHER}, "
            f"or, {_TAKE}."
        ) from error


def _has_strange_results(results: Path, store: Store) -> bool:
    if next(results.glob(f"*/*/*/*/{METRIC_BUNDLE}"), None) is None:
        return False
    return not store.has_results_below(str(results))


def _mark(results: Path, store: Store) -> ResultsOwner | None:
    """Write the marker atomically and return it, or return the marker of another store that was faster."""
    owner = ResultsOwner(store_id=store.identity(), database=store.name, since=time.time())
    temporary = results / f".{MARKER}.{uuid.uuid4().hex}"
    with _explained(results, store):
        try:
            with temporary.open("x", encoding="utf-8") as file:
                file.write(owner.to_json())
                file.flush()
                os.fsync(file.fileno())
            _link(temporary, results / MARKER)
        finally:
            temporary.unlink(missing_ok=True)
        sync_directory(results)
    return read_owner(results)


def _link(temporary: Path, marker: Path) -> None:
    try:
        os.link(temporary, marker)
    except FileExistsError:
        return
    except OSError as error:
        if error.errno not in _WITHOUT_LINKS:
            raise
        if not marker.exists():
            temporary.replace(marker)


@contextmanager
def _explained(results: Path, store: Store) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BadInputError(
            f"The results directory {results} cannot be marked as that of {store.name}: {error.strerror} "
            f"({results / MARKER}). Make it writable, or {_ANOTHER}."
        ) from error
