"""Faults of the house: they count against no execution, and what they hold up is tried again until they have passed."""

import time
from collections import deque
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Final, TypeVar

from prefect.logging import get_run_logger

from climate_ref_prefect.diagnostics.errors import ClimateRefPrefectError
from climate_ref_prefect.flows.places import PlaceUnavailableError, key_of
from climate_ref_prefect.store.errors import StoreUnavailableError

DATABASE: Final = "database"
"""Name of the place that most steps need."""
_FIRST_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 60.0
_SAY_AGAIN_SECONDS: Final = 60.0
_SLICE_SECONDS: Final = 0.5
Step = Callable[[], None]
T = TypeVar("T")


class HouseFaultError(ClimateRefPrefectError):
    """A fault of the house has lasted for longer than `house_patience`: the solve ends, with nothing given up."""

    def __init__(self, fault: object, patience_seconds: float) -> None:
        super().__init__(
            f"{fault} It has been so for {timedelta(seconds=round(patience_seconds))}, and this solve waits no longer "
            "(CLIMATE_REF_PREFECT_HOUSE_PATIENCE). Nothing is given up: mend it, and `climate-ref-prefect solve` goes "
            "on from here."
        )


def is_house_fault(error: BaseException) -> bool:
    """Whether an error is about the coordinator's directories or database, and not about an execution."""
    return isinstance(error, PlaceUnavailableError | StoreUnavailableError)


class _Fault:
    """One fault, from the moment when it was met until what it holds up has been done."""

    def __init__(self, place: str, error: BaseException) -> None:
        self.place = place
        self.error = error
        self.since = time.monotonic()
        self.steps: deque[Step] = deque()
        self.is_open = True
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self.due = self.since + self._pause_seconds
        self._said_at = self.since
        self._told_last = False

    def put_off(self) -> None:
        """Let the next try be later than the one before was."""
        self._pause_seconds = min(2 * self._pause_seconds, _LONGEST_PAUSE_SECONDS)
        self.due = time.monotonic() + self._pause_seconds

    def say(self) -> None:
        """Say that it lasts, now and then."""
        now = time.monotonic()
        if now - self._said_at >= _SAY_AGAIN_SECONDS:
            self._said_at = now
            get_run_logger().warning(
                "%s It has been so for %s; %d steps wait for it.",
                self.error,
                timedelta(seconds=round(now - self.since)),
                len(self.steps),
            )

    def say_last(self, under_way: int) -> None:
        """Say, once, what is waited for although the patience is over."""
        if not self._told_last:
            self._told_last = True
            get_run_logger().warning(
                "%s Nothing more is started; the solve ends when the %d executions have ended that are under way.",
                self.error,
                under_way,
            )


class HouseFaults:
    """
    Holds back what needs a place that does not work, and has it tried again with growing pauses.

    A step is taken whole again, so it must be safe to repeat. Used by one thread.

    Parameters
    ----------
    patience_seconds
        How long a fault may last.
    """

    def __init__(self, patience_seconds: float) -> None:
        self._patience_seconds = patience_seconds
        self._faults: dict[str, _Fault] = {}
        self._ready: deque[Step] = deque()
        self._trying: str | None = None

    def open_places(self) -> frozenset[str]:
        """Return the places that do not work now."""
        return frozenset(place for place, fault in self._faults.items() if fault.is_open)

    def admits(self, places: Iterable[str], step: Step) -> bool:
        """Whether a step may be taken now; if not it is kept, and taken once its places work again."""
        for place in places:
            fault = self._faults.get(place)
            if fault is not None and fault.is_open and place != self._trying:
                fault.steps.append(step)
                return False
        return True

    def met(self, error: BaseException, step: Step, place: str | None = None) -> None:
        """Keep a step that has met a fault, until it is due to be tried again."""
        place = place or _place_of(error)
        fault = self._faults.get(place)
        if fault is None:
            fault = self._faults[place] = _Fault(place, error)
            get_run_logger().warning(
                "%s This counts against no execution: it is tried again with growing pauses, for %s at most.",
                error,
                timedelta(seconds=round(self._patience_seconds)),
            )
        elif not fault.is_open:  # it came back before anything had shown that it was over
            fault.is_open = True
            fault.put_off()
        fault.error = error
        fault.steps.append(step)  # another one is tried next: this one alone may have the trouble

    def passed(self, places: Iterable[str], *, for_good: bool = True) -> None:
        """Have all go on that waited for places that work again; not `for_good` where it may be an illusion."""
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
        """Take the steps whose places work again, and for each fault whose time has come one as a trial."""
        while self._ready:
            self._ready.popleft()()
        for place, fault in list(self._faults.items()):
            if fault.is_open and fault.steps and time.monotonic() >= fault.due:
                fault.put_off()
                fault.say()
                self._trying = place
                try:
                    fault.steps.popleft()()
                finally:
                    self._trying = None

    def confirm(self, place: str) -> None:
        """Forget a fault that has passed, now that it is known to have passed for good."""
        if place in self._faults and not self._faults[place].is_open:
            del self._faults[place]

    def end_if_patience_is_over(self, count_under_way: Callable[[], int]) -> None:
        """
        Raise `HouseFaultError` where a fault has lasted too long.

        Parameters
        ----------
        count_under_way
            Returns how many executions run or are being published: those are waited for.
        """
        for fault in self._faults.values():
            if not fault.is_open or time.monotonic() - fault.since <= self._patience_seconds:
                continue
            under_way = count_under_way()
            if not under_way:
                raise HouseFaultError(fault.error, self._patience_seconds) from fault.error
            fault.say_last(under_way)


def patiently(step: Callable[[], T], patience_seconds: float, watch: Step = lambda: None) -> T:
    """
    Take a step again and again, with growing pauses, for as long as the house has a fault; return what it returns.

    Parameters
    ----------
    step
        Safe to repeat.
    patience_seconds
        For how long.
    watch
        Called several times a second while it waits; may raise to end the waiting.

    Raises
    ------
    HouseFaultError
        If the fault lasts longer.
    """
    fault: _Fault | None = None
    while True:
        try:
            return step()
        except (PlaceUnavailableError, StoreUnavailableError) as error:
            if fault is None:
                fault = _Fault(_place_of(error), error)
                limit = timedelta(seconds=round(patience_seconds))
                get_run_logger().warning("%s It is tried again with growing pauses, for %s at most.", error, limit)
            else:
                fault.put_off()
            fault.error = error
            if time.monotonic() - fault.since > patience_seconds:
                raise HouseFaultError(error, patience_seconds) from error
        fault.say()
        while time.monotonic() < fault.due:
            watch()
            time.sleep(_SLICE_SECONDS)


def _place_of(error: BaseException) -> str:
    return key_of(error.place, error.part) if isinstance(error, PlaceUnavailableError) else DATABASE
