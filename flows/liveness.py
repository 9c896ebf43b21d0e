"""Whether what another coordinator has started has ended, told from the files and processes that can be seen here."""

import time
from collections.abc import Hashable, Mapping
from contextlib import suppress
from typing import Final, TypeVar

from climate_ref_prefect.diagnostics.errors import UnreadableDocumentError
from climate_ref_prefect.transports.worker.directory import ExecutionDirectory
from climate_ref_prefect.transports.worker.documents import Claim
from climate_ref_prefect.transports.worker.process_tree import end_tree
from climate_ref_prefect.transports.worker.silence import quiet_seconds

END_SECONDS: Final = 15.0
"""How long a supervisor may take to notice that its coordinator is gone and to end its tree."""
_KILLING_SECONDS: Final = 0.5
POLL_SECONDS: Final = 0.1
"""How often what is in doubt is looked at."""
_KILLED_SECONDS: Final = 5.0
"""How long a supervisor may take to go that was killed; longer where it hangs in the kernel."""
Key = TypeVar("Key", bound=Hashable)


class Liveness:
    """
    Follows one closed execution whose coordinator is gone, until it is known whether it has ended.

    A claiming process that can be seen from here tells by itself. Of one on another host or in another container, and
    of one whose claim cannot be read, only its signs of life tell: without any for some heartbeats it has ended.

    Parameters
    ----------
    directory
        The execution's directory.
    delay_seconds
        How late a file of another host may show.
    """

    def __init__(self, directory: ExecutionDirectory, delay_seconds: float) -> None:
        self._directory = directory
        self._quiet_seconds = quiet_seconds(directory, delay_seconds)
        self._began = time.monotonic()
        self._sign = directory.last_sign_of_life()

    @property
    def longest_wait_seconds(self) -> float:
        """The longest time until `has_ended` knows."""
        return max(self._quiet_seconds, END_SECONDS + _KILLED_SECONDS)

    def has_ended(self) -> bool | None:
        """Return whether it has ended; none while nobody knows. To be called again and again, which may end it."""
        if self._directory.has_outcome():
            return True
        try:
            claim = self._directory.read_claim()
        except UnreadableDocumentError:
            return self._is_quiet()
        if claim is None:  # a worker looks for the closing after it has claimed: none will run any more
            return True
        return self._has_process_ended(claim) if claim.is_visible_here() else self._is_quiet()

    def _has_process_ended(self, claim: Claim) -> bool | None:
        if not claim.is_alive_here():
            return True
        waited_seconds = time.monotonic() - self._began
        if waited_seconds > END_SECONDS + _KILLED_SECONDS:
            return False
        if waited_seconds > END_SECONDS:
            with suppress(PermissionError):
                end_tree(claim.pid, _KILLING_SECONDS)
        return None

    def _is_quiet(self) -> bool | None:
        if self._directory.last_sign_of_life() != self._sign:
            return False
        waited_seconds = time.monotonic() - self._began
        silent_seconds = max(waited_seconds, self._directory.silence_seconds())
        return True if silent_seconds > self._quiet_seconds else None


def wait_until_known(in_doubt: Mapping[Key, Liveness]) -> dict[Key, bool]:
    """Return of each whether it has ended; waits for all at once."""
    known: dict[Key, bool] = {}
    while True:
        for key, liveness in in_doubt.items():
            if key not in known and (ended := liveness.has_ended()) is not None:
                known[key] = ended
        if len(known) == len(in_doubt):
            return known
        time.sleep(POLL_SECONDS)
