"""Infrastructure faults (full disks, no database): they count against no execution, and blocked steps are retried."""

import time
from collections import deque
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Final, TypeVar

from prefect.logging import get_run_logger

from climate_ref_prefect.diagnostics.errors import ClimateRefPrefectError
from climate_ref_prefect.flows.workspace.directory_availability import DirectoryUnavailableError, fault_key
from climate_ref_prefect.store.errors import RecorderUnavailableError

DATABASE: Final = "database"
"""Name of the database among the places that steps need."""
_FIRST_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 60.0
_SAY_AGAIN_SECONDS: Final = 60.0
_SLICE_SECONDS: Final = 0.5
Step = Callable[[], None]
T = TypeVar("T")


class InfrastructureFaultError(ClimateRefPrefectError):
    """An infrastructure fault has lasted longer than `house_patience`. The solve ends and gives up no execution."""

    def __init__(self, fault: object, timeout_seconds: float) -> None:
        super().__init__(
            f"{fault} It has been so for {timedelta(seconds=round(timeout_seconds))}, and this solve waits no longer "
            "(CLIMATE_REF_PREFECT_HOUSE_PATIENCE). Nothing is given up: mend it, and the next solve goes on from here."
        )


def is_infrastructure_fault(error: BaseException) -> bool:
    """Whether an error concerns the coordinator's directories or database, and not an execution."""
    return isinstance(error, DirectoryUnavailableError | RecorderUnavailableError)


class _Fault:
    """One fault, from its first error until all steps that it blocks have been done."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.since = time.monotonic()
        self.steps: deque[Step] = deque()
        self.is_open = True
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self.due = self.since + self._pause_seconds
        self._said_at = self.since
        self._told_last = False

    def postpone(self) -> None:
        """Schedule the next attempt with a longer pause."""
        self._pause_seconds = min(2 * self._pause_seconds, _LONGEST_PAUSE_SECONDS)
        self.due = time.monotonic() + self._pause_seconds

    def log_periodically(self) -> None:
        """Log from time to time that the fault lasts."""
        now = time.monotonic()
        if now - self._said_at >= _SAY_AGAIN_SECONDS:
            self._said_at = now
            get_run_logger().warning(
                "%s It has been so for %s; %d steps wait for it.",
                self.error,
                timedelta(seconds=round(now - self.since)),
                len(self.steps),
            )

    def log_end(self, under_way: int) -> None:
        """Log once that the solve ends when the running executions have ended."""
        if not self._told_last:
            self._told_last = True
            get_run_logger().warning(
                "%s Nothing more is started; the solve ends when the %d executions have ended that are under way.",
                self.error,
                under_way,
            )


class InfrastructureFaults:
    """
    Holds back the steps that need an unavailable directory or database, and retries them with growing pauses.

    A step is repeated as a whole, so it must be safe to repeat. Used by one thread.

    Parameters
    ----------
    timeout_seconds
        How long a fault may last.
    """

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._faults: dict[str, _Fault] = {}
        self._ready: deque[Step] = deque()
        self._trying: str | None = None

    def unavailable_places(self) -> frozenset[str]:
        """Return the directories and databases that are unavailable now."""
        return frozenset(place for place, fault in self._faults.items() if fault.is_open)

    def may_run(self, places: Iterable[str], step: Step) -> bool:
        """Whether a step may run now. If not, it is queued and run once its places are available again."""
        for place in places:
            fault = self._faults.get(place)
            if fault is not None and fault.is_open and place != self._trying:
                fault.steps.append(step)
                return False
        return True

    def record(self, error: BaseException, step: Step, place: str | None = None) -> None:
        """Queue a step that has failed because of a fault, until its next attempt is due."""
        place = place or _place_of(error)
        fault = self._faults.get(place)
        if fault is None:
            fault = self._faults[place] = _Fault(error)
            get_run_logger().warning(
                "%s This counts against no execution: it is tried again with growing pauses, for %s at most.",
                error,
                timedelta(seconds=round(self._timeout_seconds)),
            )
        elif not fault.is_open:  # The fault has returned before a success confirmed that it was over.
            fault.is_open = True
            fault.postpone()
        fault.error = error
        fault.steps.append(step)  # Another step is tried next, because only this one may be affected.

    def resolve(self, places: Iterable[str], *, for_good: bool = True) -> None:
        """Release the steps that waited for these places. Without `for_good` the fault may still return."""
        for place in places:
            fault = self._faults.get(place)
            if fault is None:
                continue
            if fault.is_open:
                self._ready.extend(fault.steps)
                fault.steps.clear()
                fault.is_open = False
                waited = timedelta(seconds=round(time.monotonic() - fault.since))
                get_run_logger().info("It works again after %s, and goes on: %s", waited, fault.error)
            if for_good:
                del self._faults[place]

    def take_due_steps(self) -> None:
        """Run the released steps, and one step as a trial for each fault that is due."""
        while self._ready:
            self._ready.popleft()()
        for place, fault in list(self._faults.items()):
            if fault.is_open and fault.steps and time.monotonic() >= fault.due:
                fault.postpone()
                fault.log_periodically()
                self._trying = place
                try:
                    fault.steps.popleft()()
                finally:
                    self._trying = None

    def confirm(self, place: str) -> None:
        """Remove a released fault, because a success has confirmed that it is over."""
        if place in self._faults and not self._faults[place].is_open:
            del self._faults[place]

    def end_if_timed_out(self, count_under_way: Callable[[], int]) -> None:
        """
        Raise `InfrastructureFaultError` if a fault has lasted too long.

        Parameters
        ----------
        count_under_way
            Returns the number of executions that run or are being published. They are awaited first.
        """
        for fault in self._faults.values():
            if not fault.is_open or time.monotonic() - fault.since <= self._timeout_seconds:
                continue
            under_way = count_under_way()
            if not under_way:
                raise InfrastructureFaultError(fault.error, self._timeout_seconds) from fault.error
            fault.log_end(under_way)


def retry_while_unavailable(step: Callable[[], T], timeout_seconds: float, watch: Step = lambda: None) -> T:
    """
    Repeat a step with growing pauses while the infrastructure has a fault, and return what it returns.

    Parameters
    ----------
    step
        A step that is safe to repeat.
    timeout_seconds
        How long to retry.
    watch
        Called several times a second while waiting. It may raise to end the waiting.

    Raises
    ------
    InfrastructureFaultError
        If the fault lasts longer than `timeout_seconds`.
    """
    fault: _Fault | None = None
    while True:
        try:
            return step()
        except (DirectoryUnavailableError, RecorderUnavailableError) as error:
            if fault is None:
                fault = _Fault(error)
                limit = timedelta(seconds=round(timeout_seconds))
                get_run_logger().warning("%s It is tried again with growing pauses, for %s at most.", error, limit)
            else:
                fault.postpone()
            fault.error = error
            if time.monotonic() - fault.since > timeout_seconds:
                raise InfrastructureFaultError(error, timeout_seconds) from error
        fault.log_periodically()
        while time.monotonic() < fault.due:
            watch()
            time.sleep(_SLICE_SECONDS)


def _place_of(error: BaseException) -> str:
    return fault_key(error.place, error.part) if isinstance(error, DirectoryUnavailableError) else DATABASE
