"""A queue of executions that have ended: any thread adds one, and `Transport.wait` returns them."""

import queue
from contextlib import suppress

from climate_ref_prefect.transports.port import Ended


class EndedQueue:
    """What has ended and was not returned by `wait` yet."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Ended] = queue.SimpleQueue()

    def put(self, ended: Ended) -> None:
        """Add an execution that has ended; from any thread."""
        self._queue.put(ended)

    def wait(self, timeout_seconds: float) -> list[Ended]:
        """Return all that have ended since the last call, waiting up to `timeout_seconds` for the first."""
        ended: list[Ended] = []
        with suppress(queue.Empty):
            ended.append(self._queue.get(timeout=timeout_seconds))
            while True:
                ended.append(self._queue.get_nowait())
        return ended
