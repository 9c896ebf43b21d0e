"""The executions that wait for jobs of one size, and which of them a job gets next, without a look at each of them."""

import bisect
import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.transports.batch.pool.execution import Execution
from climate_ref_prefect.transports.batch.pool.job import Job, JobState
from climate_ref_prefect.transports.resource_packing import OVERTAKEN_AT_MOST

Choice: TypeAlias = tuple[Execution | None, Execution | None]
_REMEMBERED: Final = 8
"""How many rooms are remembered that were too small for everything."""


class Room(NamedTuple):
    """What a job has left, or an execution asks for."""

    cpu: int
    memory_mb: int
    seconds: float

    def is_within(self, other: "Room") -> bool:
        """Whether this fits into another, in time as well."""
        return self.cpu <= other.cpu and self.memory_mb <= other.memory_mb and self.seconds <= other.seconds


class WaitingExecutions:
    """
    Executions that wait for jobs of one size, in the order of their submission, grouped by what they ask for.

    An execution that a job has time but no room for is skipped in favour of later ones a limited number of times.
    Then one job is reserved for it: that job takes nothing more until it has room for it.

    Parameters
    ----------
    executions
        The executions, in their order.
    """

    def __init__(self, executions: Iterable[Execution]) -> None:
        self._positions: dict[Path, int] = {}
        self._by_request: dict[Room, dict[int, Execution]] = {}
        self._overtaken: dict[int, Execution] = {}
        """Those that no other may overtake any more."""
        self._too_small: list[Room] = []
        for position, one in enumerate(executions):
            self._positions[one.directory] = position
            self._by_request.setdefault(_request(one), {})[position] = one
            if one.skipped >= OVERTAKEN_AT_MOST:
                self._overtaken[position] = one
        self._heads = sorted((next(iter(alike)), request) for request, alike in self._by_request.items())
        """The first position of each request."""

    def __len__(self) -> int:
        return len(self._positions)

    @property
    def first(self) -> Execution | None:
        """The one that was submitted first; None without any."""
        for position, request in self._heads:
            return self._by_request[request][position]
        return None

    @property
    def shortest_seconds(self) -> float:
        """The least time that any of them asks for. Raises `ValueError` without any."""
        return min(request.seconds for request in self._by_request)

    def resources(self) -> list[ResourceHint]:
        """Return what each of them asks for, in no order."""
        return [one.resources for alike in self._by_request.values() for one in alike.values()]

    def remove(self, one: Execution) -> None:
        """Remove an execution, because a job has been given it."""
        position, request = self._positions.pop(one.directory), _request(one)
        self._overtaken.pop(position, None)
        alike = self._by_request[request]
        is_head = next(iter(alike)) == position
        del alike[position]
        if is_head:
            del self._heads[bisect.bisect_left(self._heads, (position, request))]
            if alike:
                bisect.insort(self._heads, (next(iter(alike)), request))
            else:
                del self._by_request[request]

    def replace(self, one: Execution) -> None:
        """Replace an execution by itself with changed counters."""
        position = self._positions[one.directory]
        self._by_request[_request(one)][position] = one
        if one.skipped >= OVERTAKEN_AT_MOST:
            self._overtaken[position] = one

    def choose(self, job: str, room: Room, jobs: Mapping[str, Job]) -> Choice:
        """
        Return the execution that a job gets next, and one that was skipped or for which the job is reserved.

        Parameters
        ----------
        job
            Name of the job.
        room
            What it has left, without the memory that is reserved for its worker, until it ends.
        jobs
            All jobs by name, to see whether the one that is reserved for an execution is still there.

        Returns
        -------
        The chosen execution, or None; and the execution that was skipped, or for which the job is now reserved, as a
        value that replaces the earlier one; or None.
        """
        if not self._overtaken and any(room.is_within(other) for other in self._too_small):
            return None, None
        chosen, skipped = self._first_within(room)
        for position in sorted(self._overtaken):
            one = self._overtaken[position]
            if chosen is not None and position > self._positions[chosen.directory]:
                break
            if _has_time_but_no_room(one, room):
                reserved = jobs.get(one.reserved_job)
                if reserved is None or reserved.state is not JobState.READY:
                    return None, dataclasses.replace(one, reserved_job=job)
                if reserved.name == job:
                    return None, None
        if chosen is None:
            self._too_small = [room, *self._too_small][:_REMEMBERED]
            return None, None
        return chosen, skipped and dataclasses.replace(skipped, skipped=skipped.skipped + 1)

    def _first_within(self, room: Room) -> Choice:
        """Return the first that fits, and the first before it for which there is time but no room."""
        skipped: Execution | None = None
        for position, request in self._heads:
            if request.seconds > room.seconds:
                continue
            if request.is_within(room):
                return self._by_request[request][position], skipped
            skipped = skipped or self._by_request[request][position]
        return None, skipped


def _request(one: Execution) -> Room:
    asked = one.resources
    return Room(asked.cpu, asked.memory_mb, asked.wall_clock_seconds)


def _has_time_but_no_room(one: Execution, room: Room) -> bool:
    request = _request(one)
    return request.seconds <= room.seconds and not request.is_within(room)
