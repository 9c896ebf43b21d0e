"""Find out whether an execution of another coordinator has ended, from the files and processes visible here."""

import time
from collections.abc import Hashable, Mapping
from contextlib import suppress
from typing import Final, TypeVar

from climate_ref_prefect.diagnostics.errors import UnreadableDocumentError
from climate_ref_prefect.execution.claim import Claim
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.heartbeat_expiry import heartbeat_expiry_seconds
from climate_ref_prefect.execution.host.process_tree import end_tree

END_SECONDS: Final = 15.0
"""How long a supervisor may take to notice that its coordinator is gone and to end its tree."""
_KILLING_SECONDS: Final = 0.5
POLL_SECONDS: Final = 0.1
"""How often executions of unknown state are checked."""
_KILLED_SECONDS: Final = 5.0
"""How long a killed supervisor may take to end. One that hangs in the kernel takes longer."""
Key = TypeVar("Key", bound=Hashable)


class ExecutionLiveness:
    """
    Follows one closed execution whose coordinator is gone, until it is known whether it has ended.

    If the claiming process is visible here, the process itself shows it. If it runs on another host or in another
    container, or the claim cannot be read, only the heartbeat shows it: after some missing heartbeats it has ended.

    Parameters
    ----------
    directory
        The execution's directory.
    delay_seconds
        How late a file that another host has written may become visible.
    """

    def __init__(self, directory: ExecutionDirectory, delay_seconds: float) -> None:
        self._directory = directory
        self._quiet_seconds = heartbeat_expiry_seconds(directory, delay_seconds)
        self._began = time.monotonic()
        self._sign = directory.last_sign_of_life()

    @property
    def longest_wait_seconds(self) -> float:
        """The longest time until `has_ended` knows."""
        return max(self._quiet_seconds, END_SECONDS + _KILLED_SECONDS)

    def has_ended(self) -> bool | None:
        """Return whether it has ended; None while that is unknown. Call it repeatedly, which may also kill it."""
        if self._directory.has_outcome():
            return True
        try:
            claim = self._directory.read_claim()
        except UnreadableDocumentError:
            return self._is_quiet()
        # A worker checks for `closed.json` after it has claimed, so none will run this execution any more.
        if claim is None:
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


def wait_until_known(in_doubt: Mapping[Key, ExecutionLiveness]) -> dict[Key, bool]:
    """Return for each execution whether it has ended, and wait for all of them at the same time."""
    known: dict[Key, bool] = {}
    while True:
        for key, liveness in in_doubt.items():
            if key not in known and (ended := liveness.has_ended()) is not None:
                known[key] = ended
        if len(known) == len(in_doubt):
            return known
        time.sleep(POLL_SECONDS)
