"""The executions that wait for jobs of one size, and which of them a job gets next, without a look at each of them."""

import bisect
import dataclasses
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

from climate_ref_prefect.transports.batch.pool.execution import Execution, Room
from climate_ref_prefect.transports.batch.pool.job import Job, JobState
from climate_ref_prefect.transports.resource_packing import OVERTAKEN_AT_MOST

Choice: TypeAlias = tuple[Execution | None, Execution | None]
_REMEMBERED: Final = 8
"""How many rooms are remembered that were too small for everything."""


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
        self._executions = list(executions)
        self._number = len(self._executions)
        self._by_request: dict[Room, list[int]] = {}
        """Positions of those that ask for the same, the last first."""
        self._overtaken: list[int] = []
        """Positions of those that no other may overtake any more, in order."""
        self._too_small: list[Room] = []
        for position in reversed(range(self._number)):
            one = self._executions[position]
            self._by_request.setdefault(one.request, []).append(position)
            if one.skipped >= OVERTAKEN_AT_MOST:
                self._overtaken.append(position)
        self._overtaken.reverse()
        self._heads = sorted((alike[-1], request) for request, alike in self._by_request.items())
        """The first position of each request."""

    def __len__(self) -> int:
        return self._number

    @property
    def first(self) -> Execution | None:
        """The one that was submitted first; None without any."""
        return self._executions[self._heads[0][0]] if self._heads else None

    @property
    def shortest_seconds(self) -> float:
        """The least time that any of them asks for. Raises `ValueError` without any."""
        return min(request.seconds for request in self._by_request)

    def requests(self) -> list[tuple[Room, int]]:
        """Return what they ask for, in no order, and how many ask for it."""
        return [(request, len(alike)) for request, alike in self._by_request.items()]

    def take(self, job: str, room: Room, jobs: Mapping[str, Job]) -> Choice:
        """
        Take out the execution that a job gets next, and say which one was skipped or has the job reserved for it.

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
        value that has replaced the earlier one; or None.
        """
        if not self._overtaken and any(room.is_within(other) for other in self._too_small):
            return None, None
        chosen, skipped = self._first_within(room)
        before = len(self._executions) if chosen is None else self._heads[chosen][0]
        for position in self._overtaken:
            if position > before:
                break
            one = self._executions[position]
            if _has_time_but_no_room(one, room):
                reserved = jobs.get(one.reserved_job)
                if reserved is None or reserved.state is not JobState.READY:
                    return None, self._replaced(position, dataclasses.replace(one, reserved_job=job))
                if reserved.name == job:
                    return None, None
        if chosen is None:
            self._too_small = [room, *self._too_small][:_REMEMBERED]
            return None, None
        return self._removed(chosen), None if skipped is None else self._skipped(skipped)

    def _first_within(self, room: Room) -> tuple[int | None, int | None]:
        """Return which head is the first that fits, and the position of the first before it that has time, not room."""
        skipped: int | None = None
        for number, (position, request) in enumerate(self._heads):
            if request.seconds > room.seconds:
                continue
            if request.is_within(room):
                return number, skipped
            if skipped is None:
                skipped = position
        return None, skipped

    def _removed(self, head: int) -> Execution:
        """Remove the first of a request, because a job is given it."""
        position, request = self._heads.pop(head)
        self._number -= 1
        alike = self._by_request[request]
        alike.pop()
        if alike:
            bisect.insort(self._heads, (alike[-1], request))
        else:
            del self._by_request[request]
        if position in self._overtaken:
            self._overtaken.remove(position)
        return self._executions[position]

    def _skipped(self, position: int) -> Execution:
        one = self._executions[position]
        skipped = self._replaced(position, dataclasses.replace(one, skipped=one.skipped + 1))
        if skipped.skipped == OVERTAKEN_AT_MOST:
            bisect.insort(self._overtaken, position)
        return skipped

    def _replaced(self, position: int, one: Execution) -> Execution:
        self._executions[position] = one
        return one


def _has_time_but_no_room(one: Execution, room: Room) -> bool:
    return one.request.seconds <= room.seconds and not one.request.is_within(room)
