"""Query the earlier attempts at the execution groups of a solve."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.store.port import ExecutionStatus, GroupAddress, address_of
from climate_ref_prefect.store.query_results import LOST_KINDS, GroupHistory
from climate_ref_prefect.store.sql.column_types import clean_text
from climate_ref_prefect.store.sql.shared_statements import asked_by, in_chunks
from climate_ref_prefect.store.sql.table_models import Diagnostic, Execution, ExecutionGroup, Provider

Attempts = Mapping[tuple[int, str], Sequence[Any]]
"""Rows of executions, oldest first, by group id and input hash."""

_COLUMNS = (
    Execution.id,
    Execution.group_id,
    Execution.input_hash,
    Execution.status,
    Execution.successful,
    Execution.retryable,
    Execution.counted,
    Execution.failure_kind,
    Execution.asked_memory_mb,
    Execution.asked_cpu,
    Execution.asked_wall_clock_seconds,
    Execution.asked_queue,
)


class _Group(NamedTuple):
    id: int
    dirty: bool


def histories(connection: Connection, definitions: Sequence[ExecutionDefinition]) -> dict[GroupAddress, GroupHistory]:
    """Return for each definition the attempts on the same inputs; an empty history if there are none."""
    groups = _groups(connection, {address_of(definition) for definition in definitions})
    hashes = {address_of(definition): definition.input_hash for definition in definitions}
    known = {(groups[address].id, input_hash) for address, input_hash in hashes.items() if address in groups}
    attempts = _attempts(connection, known)
    return {address: _history(groups.get(address), hashes[address], attempts) for address in hashes}


def _groups(connection: Connection, addresses: Iterable[GroupAddress]) -> dict[GroupAddress, _Group]:
    as_kept = {
        (provider, diagnostic, clean_text(key)): (provider, diagnostic, key) for provider, diagnostic, key in addresses
    }
    diagnostics = _diagnostics(connection)
    found: dict[GroupAddress, _Group] = {}
    # Sorted, so that a chunk spans few diagnostics and matches few other rows.
    for chunk in in_chunks(sorted(address for address in as_kept if address[:2] in diagnostics)):
        owners = {diagnostics[address[:2]]: address[:2] for address in chunk}
        query = select(ExecutionGroup.id, ExecutionGroup.diagnostic_id, ExecutionGroup.key, ExecutionGroup.dirty).where(
            ExecutionGroup.diagnostic_id.in_(owners), ExecutionGroup.key.in_({address[2] for address in chunk})
        )
        for row in connection.execute(query):
            address = (*owners[row.diagnostic_id], row.key)
            if address in as_kept:
                found[as_kept[address]] = _Group(row.id, row.dirty)
    return found


def _diagnostics(connection: Connection) -> dict[tuple[str, str], int]:
    query = select(Provider.slug, Diagnostic.slug, Diagnostic.id).join_from(Diagnostic, Provider)
    return {(provider, diagnostic): number for provider, diagnostic, number in connection.execute(query)}


def _attempts(connection: Connection, wanted: Iterable[tuple[int, str]]) -> Attempts:
    attempts: defaultdict[tuple[int, str], list[Any]] = defaultdict(list)
    for chunk in in_chunks(sorted(wanted)):
        query = (
            select(*_COLUMNS)
            .where(Execution.group_id.in_({group for group, _ in chunk}))
            .where(Execution.input_hash.in_({input_hash for _, input_hash in chunk}))
            .order_by(Execution.id)
        )
        for row in connection.execute(query):
            attempts[row.group_id, row.input_hash].append(row)
    return attempts


def _history(group: _Group | None, input_hash: str, attempts: Attempts) -> GroupHistory:
    if group is None:
        return GroupHistory()
    rows = attempts.get((group.id, input_hash), ())
    finished = [row for row in rows if row.status == ExecutionStatus.FINISHED]
    failures = [row.failure_kind for row in finished if row.failure_kind is not None]
    return GroupHistory(
        dirty=group.dirty,
        attempts=len(finished),
        counted_attempts=sum(row.counted for row in finished),
        lost_attempts=sum(row.failure_kind in LOST_KINDS for row in finished),
        succeeded=any(row.successful for row in finished),
        last_failure=FailureKind(failures[-1]) if failures else None,
        last_retryable=rows[-1].retryable if rows else None,
        last_asked=asked_by(rows[-1]) if rows else None,
        last_execution_id=rows[-1].id if rows else None,
    )
