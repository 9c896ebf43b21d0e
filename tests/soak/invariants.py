"""What must hold once a campaign is over, whatever has happened to its coordinators."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from climate_ref_prefect.diagnostics.execution_result import METRIC_BUNDLE, OUTPUT_BUNDLE, SERIES
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.store.query_results import ExecutionRow
from climate_ref_prefect.store.sql.sql_store import Store
from tests.flows.run_intervals import read_lives
from tests.flows.run_log import read_runs
from tests.soak.coordinator_site import Place
from tests.soak.provider import FAILS

Groups = dict[tuple[str, str], list[ExecutionRow]]


def broken(place: Place) -> list[str]:
    """Return a sentence for each invariant that does not hold."""
    with place.store() as store:
        rows = store.executions(newest_first=False)
        found = [*_unfinished(rows), *_of_groups(place, rows), *_of_values(store, rows)]
    return [*found, *_of_runs(place), *_of_files(place, rows)]


def _unfinished(rows: Sequence[ExecutionRow]) -> Iterator[str]:
    for row in rows:
        if row.finished_at is None:
            yield f"execution {row.execution_id} of {row.label} is still {row.status}"


def _of_groups(place: Place, rows: Sequence[ExecutionRow]) -> Iterator[str]:
    groups: Groups = defaultdict(list)
    for row in rows:
        groups[row.diagnostic, row.key].append(row)
    for diagnostic, key in place.groups:
        attempts = groups.get((diagnostic, key), [])
        successes = [row for row in attempts if row.successful]
        if diagnostic == FAILS:
            if not attempts or attempts[-1].failure_kind is not FailureKind.DIAGNOSTIC_ERROR:
                yield f"{diagnostic}/{key} has not been given up with its own error: {_kinds(attempts)}"
        elif len(successes) != 1:
            yield f"{diagnostic}/{key} has {len(successes)} successes: {_kinds(attempts)}"
        elif attempts[-1] is not successes[0]:
            yield f"{diagnostic}/{key} was run again after it had succeeded: {_kinds(attempts)}"


def _kinds(attempts: Sequence[ExecutionRow]) -> str:
    return ", ".join("success" if row.successful else str(row.failure_kind) for row in attempts) or "no attempt"


def _of_values(store: Store, rows: Sequence[ExecutionRow]) -> Iterator[str]:
    successful = {row.execution_id: row for row in rows if row.successful}
    scalars: dict[int, dict[str, float | None]] = defaultdict(dict)
    series: dict[int, tuple[float | None, ...]] = {}
    for scalar in store.scalars(list(successful)):
        scalars[scalar.execution_id][scalar.dimensions["statistic"]] = scalar.value
    for one in store.series(list(successful)):
        series[one.execution_id] = tuple(one.values)
    for execution_id, row in successful.items():
        values = tuple(byte / 7 for byte in hashlib.sha256(row.key.encode()).digest()[:12])
        if scalars[execution_id] != {"mean": sum(values) / 12, "trend": 1e-17 / values[0]}:
            yield f"execution {execution_id} of {row.label} has other numbers: {scalars[execution_id]}"
        if series.get(execution_id) != values:
            yield f"execution {execution_id} of {row.label} has another series: {series.get(execution_id)}"


def _of_runs(place: Place) -> Iterator[str]:
    times = Counter(run.directory for run in read_runs(place.notes))
    yield from (f"{directory} ran {count} times" for directory, count in times.items() if count > 1)
    yield from (f"{life.directory} ran beside {life.beside}" for life in read_lives(place.notes) if life.beside)
    yield from (f"{life.directory} still runs" for life in read_lives(place.notes) if life.at_work)


def _of_files(place: Place, rows: Sequence[ExecutionRow]) -> Iterator[str]:
    yield from (f"{path} was left behind" for path in place.results.glob("*/*/*/.incoming-*"))
    for row in rows:
        if row.successful:
            yield from _of_published(place, row)


def _of_published(place: Place, row: ExecutionRow) -> Iterator[str]:
    published = place.results / row.fragment
    missing = [name for name in ("run.log", METRIC_BUNDLE, OUTPUT_BUNDLE, SERIES) if not (published / name).exists()]
    if missing:
        yield f"{published} lacks {', '.join(missing)}"
        return
    outcome = ExecutionDirectory(place.scratch / row.fragment).read_outcome()
    if outcome is None:
        yield f"{row.fragment} is a success without an outcome"
        return
    for record in outcome.manifest:
        content = (published / record.path).read_bytes()
        if (len(content), hashlib.sha256(content).hexdigest()) != (record.size_bytes, record.sha256):
            yield f"{published / record.path} is not what the worker left"
    named = {file["filename"] for file in json.loads((published / OUTPUT_BUNDLE).read_text())["data"].values()}
    if not named <= {record.path for record in outcome.manifest}:
        yield f"{published} names files that its manifest lacks"
