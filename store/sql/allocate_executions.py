"""Allocate executions: insert the rows of a batch of attempts before any of them starts."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, select, update

from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition
from climate_ref_prefect.store.directory_names import new_fragment
from climate_ref_prefect.store.port import AllocatedExecution, Allocation, ExecutionStatus, GroupAddress, address_of
from climate_ref_prefect.store.sql.shared_statements import NaturalKey, asked_columns, identify, in_chunks
from climate_ref_prefect.store.sql.table_models import (
    Dataset,
    Diagnostic,
    Execution,
    ExecutionDataset,
    ExecutionGroup,
    Provider,
)


def allocate(
    connection: Connection, allocations: Sequence[Allocation], now: datetime
) -> tuple[AllocatedExecution, ...]:
    """
    Record attempts with their groups, which become dirty, and their data sets.

    Parameters
    ----------
    connection
        Connection in a transaction that may write.
    allocations
        The attempts to record; the result has the same order.
    now
        Time of the allocation, in UTC.
    """
    definitions = [allocation.definition for allocation in allocations]
    groups = _dirty_groups(connection, definitions)
    datasets = _datasets(connection, definitions)
    fragments = [new_fragment(definition, now) for definition in definitions]
    rows = [
        {"group_id": groups[address_of(allocation.definition)], "fragment": fragment, **_columns(allocation, now)}
        for allocation, fragment in zip(allocations, fragments, strict=True)
    ]
    if rows:
        connection.execute(Execution.table().insert(), rows)
    numbers = _numbers(connection, fragments)
    _link(connection, numbers, definitions, datasets)
    return tuple(map(_allocated, allocations, fragments, numbers))


def withdraw(connection: Connection, execution_ids: Sequence[int]) -> None:
    """Remove attempts that nobody has begun with. Those that have been finalised stay."""
    execution, link = Execution.table(), ExecutionDataset.table()
    for chunk in in_chunks(sorted(execution_ids)):
        unfinished = select(execution.c.id).where(
            execution.c.id.in_(chunk), execution.c.status != ExecutionStatus.FINISHED
        )
        connection.execute(delete(link).where(link.c.execution_id.in_(unfinished)))
        connection.execute(delete(execution).where(execution.c.id.in_(unfinished)))


def _columns(allocation: Allocation, now: datetime) -> dict[str, Any]:
    return {
        "input_hash": allocation.definition.input_hash,
        "provider_version": allocation.definition.provider_version,
        "diagnostic_version": allocation.definition.diagnostic_version,
        "attempt": allocation.attempt,
        "replaces_id": allocation.replaces,
        "status": ExecutionStatus.ALLOCATED,
        "created_at": now,
        **asked_columns(allocation.resources),
    }


def _allocated(allocation: Allocation, fragment: str, number: int) -> AllocatedExecution:
    return AllocatedExecution(
        execution_id=number,
        fragment=fragment,
        definition=allocation.definition,
        resources=allocation.resources,
        attempt=allocation.attempt,
    )


def _dirty_groups(connection: Connection, definitions: Sequence[ExecutionDefinition]) -> dict[GroupAddress, int]:
    diagnostics = _diagnostics(connection, definitions)
    owners = {(one.provider, one.diagnostic, one.key): diagnostics[one.provider, one.diagnostic] for one in definitions}
    rows = [
        {
            "diagnostic_id": owners[address_of(definition)],
            "key": definition.key,
            "selectors": dict(definition.selectors),
            "dirty": True,
        }
        for definition in definitions
    ]
    numbers = identify(connection, ExecutionGroup.table(), ("diagnostic_id", "key"), rows)
    for chunk in in_chunks(sorted(numbers.values())):
        connection.execute(update(ExecutionGroup.table()).where(ExecutionGroup.id.in_(chunk)).values(dirty=True))
    return {address: numbers[owner, address[2]] for address, owner in owners.items()}


def _diagnostics(connection: Connection, definitions: Sequence[ExecutionDefinition]) -> dict[tuple[str, str], int]:
    slugs = {(definition.provider, definition.diagnostic) for definition in definitions}
    providers = identify(connection, Provider.table(), ("slug",), [{"slug": provider} for provider, _ in slugs])
    rows = [{"provider_id": providers[(provider,)], "slug": diagnostic} for provider, diagnostic in slugs]
    numbers = identify(connection, Diagnostic.table(), ("provider_id", "slug"), rows)
    return {(provider, diagnostic): numbers[providers[(provider,)], diagnostic] for provider, diagnostic in slugs}


def _datasets(connection: Connection, definitions: Sequence[ExecutionDefinition]) -> dict[NaturalKey, int]:
    # The same data set serves many executions: its row is made once.
    different = {
        (dataset.instance_id, dataset.fingerprint): dataset
        for definition in definitions
        for dataset in definition.datasets
    }
    rows = [
        {
            "instance_id": dataset.instance_id,
            "fingerprint": dataset.fingerprint,
            "facets": dict(dataset.facets),
            "files": [str(file) for file in dataset.files],
        }
        for dataset in different.values()
    ]
    return identify(connection, Dataset.table(), ("instance_id", "fingerprint"), rows)


def _numbers(connection: Connection, fragments: Sequence[str]) -> list[int]:
    """Return the id of each execution. It is queried by fragment, because older SQLite has no RETURNING."""
    numbers: dict[str, int] = {}
    for chunk in in_chunks(fragments):
        query = select(Execution.fragment, Execution.id).where(Execution.fragment.in_(chunk))
        numbers.update((row.fragment, row.id) for row in connection.execute(query))
    return [numbers[fragment] for fragment in fragments]


def _link(
    connection: Connection,
    numbers: Sequence[int],
    definitions: Sequence[ExecutionDefinition],
    datasets: dict[NaturalKey, int],
) -> None:
    links = {
        (number, datasets[dataset.instance_id, dataset.fingerprint])
        for number, definition in zip(numbers, definitions, strict=True)
        for dataset in definition.datasets
    }
    if links:
        rows = [{"execution_id": execution, "dataset_id": dataset} for execution, dataset in sorted(links)]
        connection.execute(ExecutionDataset.table().insert(), rows)
