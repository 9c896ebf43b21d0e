"""Read and write the rows of attempts and submissions: this package's own records in REF's database."""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, bindparam, delete, insert, select, update
from sqlalchemy.orm import Session

from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.failure_kinds import FAILURE_RULES, FailureKind
from climate_ref_prefect.ref import upstream
from climate_ref_prefect.ref.tables import attempts, submissions
from climate_ref_prefect.store.errors import UnknownExecutionError
from climate_ref_prefect.store.port import (
    AllocatedExecution,
    AttemptCounts,
    ExecutionStatus,
    Finalisation,
    GroupAddress,
    UnfinishedExecution,
)

_CHUNK: Final = 500
"""How many values go into one statement: SQLite allows 32,766, and older ones 999."""
_MADE: Final = "number_of_execution"


class AttemptRow(NamedTuple):
    """One attempt, as far as a recorder needs it."""

    id: int
    execution_id: int
    attempt: int
    status: ExecutionStatus
    output_directory: Path | None
    resources: ResourceHint
    is_ingested: bool
    transport: str | None
    created_at: float


class AttemptHistory(NamedTuple):
    """What the attempts at a group on the same inputs have shown since it was last settled."""

    counts: AttemptCounts = AttemptCounts()
    last_given: ResourceHint | None = None
    """What the last one was given; None if none of them has failed for want of memory or time."""
    last_failure: FailureKind | None = None


def add(session: Session, allocated: Sequence[AllocatedExecution], input_hashes: Sequence[str]) -> None:
    """Record attempts, in the given order."""
    now = time.time()
    rows = [
        {
            _MADE: one.execution_id,
            "execution_id": one.execution_id,
            "provider": one.definition.provider,
            "diagnostic": one.definition.diagnostic,
            "key": one.definition.key,
            "input_hash": input_hash,
            "attempt": one.attempt,
            "fragment": one.fragment,
            "output_directory": str(one.output_directory) if one.output_directory else None,
            "status": ExecutionStatus.ALLOCATED,
            "resources": one.resources.model_dump(mode="json"),
            "is_ingested": False,
            "created_at": now,
        }
        for one, input_hash in zip(allocated, input_hashes, strict=True)
    ]
    if rows:
        session.execute(insert(attempts).values(group_created_at=_created_at_of_group()), rows)


def _created_at_of_group() -> Any:
    """Return the subquery for when REF made the group of the execution whose number is the parameter `_MADE`."""
    execution, group = upstream.Execution, upstream.ExecutionGroup
    query = select(group.created_at).join(execution, execution.execution_group_id == group.id)
    return query.where(execution.id == bindparam(_MADE)).scalar_subquery()


def latest(connection: Connection | Session, execution_id: int) -> AttemptRow:
    """Return the last attempt at one of REF's executions; raises `UnknownExecutionError` if there is none."""
    query = select(attempts).where(attempts.c.execution_id == execution_id).order_by(attempts.c.id.desc()).limit(1)
    row = connection.execute(query).first()
    if row is None:
        raise UnknownExecutionError(execution_id)
    return AttemptRow(
        id=row.id,
        execution_id=row.execution_id,
        attempt=row.attempt,
        status=ExecutionStatus(row.status),
        output_directory=Path(row.output_directory) if row.output_directory else None,
        resources=ResourceHint.model_validate(row.resources),
        is_ingested=row.is_ingested,
        transport=row.transport,
        created_at=row.created_at,
    )


def change(session: Session, row: AttemptRow, **values: object) -> None:
    """Change some columns of an attempt."""
    session.execute(update(attempts).where(attempts.c.id == row.id).values(**values))


def finish(session: Session, row: AttemptRow, finalisation: Finalisation) -> None:
    """Record that an attempt has ended, and what follows from it."""
    change(
        session,
        row,
        status=ExecutionStatus.FINISHED,
        counted=finalisation.counted,
        failure_kind=finalisation.failure.kind if finalisation.failure else None,
        clears_dirty=finalisation.clears_dirty,
    )


def remove_unfinished(session: Session, execution_ids: Sequence[int]) -> None:
    """Remove the attempts at REF's executions that have not been finalised."""
    for chunk in chunks(execution_ids):
        session.execute(
            delete(attempts).where(attempts.c.execution_id.in_(chunk), attempts.c.status != ExecutionStatus.FINISHED)
        )


def unfinished(connection: Connection) -> tuple[UnfinishedExecution, ...]:
    """Return the attempts that have not been finalised, oldest first."""
    query = select(attempts).where(attempts.c.status != ExecutionStatus.FINISHED).order_by(attempts.c.id)
    return tuple(
        UnfinishedExecution(
            execution_id=row.execution_id,
            fragment=row.fragment,
            provider=row.provider,
            diagnostic=row.diagnostic,
            key=row.key,
            status=ExecutionStatus(row.status),
            transport=row.transport,
            attempt=row.attempt,
            resources=ResourceHint.model_validate(row.resources),
        )
        for row in connection.execute(query)
    )


def histories(
    connection: Connection, hashes: Mapping[GroupAddress, str], made: Mapping[GroupAddress, int]
) -> dict[GroupAddress, AttemptHistory]:
    """
    Return what the attempts at groups on the same inputs have shown.

    A series of attempts ends where one of them has cleared the dirty flag: it succeeded, or was given up. What somebody
    asks for after that begins a new one, and so does a group that was deleted and made again.

    Parameters
    ----------
    connection
        In a transaction.
    hashes
        The inputs of each group.
    made
        The execution that REF has made last for a group, whether or not an attempt at it has been recorded.
    """
    found: dict[GroupAddress, list[Any]] = defaultdict(list)
    created_at = _groups_created_at(connection, list(made.values()))
    for chunk in chunks(sorted(set(hashes.values()))):
        query = select(attempts).where(attempts.c.input_hash.in_(chunk)).order_by(attempts.c.id)
        for row in connection.execute(query):
            address = (row.provider, row.diagnostic, row.key)
            if hashes.get(address) != row.input_hash:
                continue
            if row.group_created_at == created_at.get(made.get(address), row.group_created_at):
                found[address].append(row)
    return {address: _history(found[address], made.get(address)) for address in hashes}


def _groups_created_at(connection: Connection, execution_ids: Sequence[int]) -> dict[int | None, Any]:
    """Return when REF made the group of each execution."""
    execution, group = upstream.Execution, upstream.ExecutionGroup
    query = select(execution.id, group.created_at).join(group, execution.execution_group_id == group.id)
    found: dict[int | None, Any] = {}
    for chunk in chunks(execution_ids):
        found.update((row.id, row.created_at) for row in connection.execute(query.where(execution.id.in_(chunk))))
    return found


def _history(rows: Sequence[Any], made: int | None) -> AttemptHistory:
    history, ended_by = AttemptHistory(), None
    for row in rows:
        if ended_by not in (None, row.execution_id):
            history, ended_by = AttemptHistory(), None
        if row.status == ExecutionStatus.FINISHED:
            kind = FailureKind(row.failure_kind) if row.failure_kind else None
            counted = history.counts.after(kind, counts=row.counted)
            history = AttemptHistory(counted, *_grown(history, row, kind))
            ended_by = row.execution_id if row.clears_dirty else None
    if ended_by is not None and made is not None and made > ended_by:
        return AttemptHistory()
    # How often it was unavailable is of a solve, which counts it itself.
    return history._replace(counts=history.counts.model_copy(update={"unavailable": 0}))


def _grown(
    history: AttemptHistory, row: Any, kind: FailureKind | None
) -> tuple[ResourceHint | None, FailureKind | None]:
    """
    Return what the last attempt was given and its failure, if one has failed for want of memory or time.

    Others show nothing of what an execution needs: who lowers a hint after them is given what it says.
    """
    has_grown = history.last_given is not None or (kind is not None and FAILURE_RULES[kind].grows is not None)
    return (ResourceHint.model_validate(row.resources), kind) if has_grown else (None, None)


def submitted(connection: Connection | Session) -> tuple[int, ...]:
    """Return REF's executions that were made for this executor and have not ended."""
    return tuple(connection.execute(select(submissions.c.execution_id).order_by(submissions.c.execution_id)).scalars())


def submitted_and_not_under_way(connection: Connection) -> list[int]:
    """Return REF's executions that were made for this executor, have not ended, and are attempted by nobody now."""
    under_way = {one.execution_id for one in unfinished(connection)}
    return [number for number in submitted(connection) if number not in under_way]


def fragments_of(connection: Connection, execution_ids: Iterable[int]) -> list[Path]:
    """Return where REF's executions write, below its scratch directory."""
    execution = upstream.Execution
    return [
        Path(fragment)
        for chunk in chunks(sorted(execution_ids))
        for fragment in connection.execute(select(execution.output_fragment).where(execution.id.in_(chunk))).scalars()
    ]


def tried_among(session: Connection | Session, execution_ids: Sequence[int]) -> set[int]:
    """Return those of REF's executions that there has been an attempt at, and at no deleted one with the number."""
    execution, group = upstream.Execution, upstream.ExecutionGroup
    query = (
        select(execution.id)
        .join(group, execution.execution_group_id == group.id)
        .join(attempts, attempts.c.execution_id == execution.id)
        .where(attempts.c.group_created_at == group.created_at)
    )
    tried: set[int] = set()
    for chunk in chunks(execution_ids):
        tried.update(session.execute(query.where(execution.id.in_(chunk))).scalars())
    return tried


def mark_submitted(session: Session, execution_ids: Iterable[int]) -> None:
    """Mark executions as made for this executor, in the transaction that makes them."""
    rows = [{"execution_id": number} for number in execution_ids]
    if rows:
        session.connection().execute(insert(submissions), rows)


def forget_submitted(session: Session, execution_ids: Iterable[int]) -> None:
    """Remove the mark of executions that have ended."""
    for chunk in chunks(list(execution_ids)):
        session.execute(delete(submissions).where(submissions.c.execution_id.in_(chunk)))


def chunks(values: Sequence[Any]) -> Iterable[Sequence[Any]]:
    """Yield values in pieces that fit into one statement."""
    return (values[start : start + _CHUNK] for start in range(0, len(values), _CHUNK))
