"""Defer signals until an exception does no harm."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from types import FrameType, TracebackType
from typing import Final, Self

_NUMBERS: Final = (signal.SIGINT, signal.SIGTERM)
Handler = Callable[[int, FrameType | None], object]


class DeferredSignals:
    """
    Defers signals until a block that delivers them; only once this seems to hang is another one delivered at once.

    Ctrl-C and SIGTERM become exceptions, which are raised wherever the main thread happens to be. Inside Prefect's
    task engine they turn into errors of the engine (`Task run is not set`). Between a commit and the line that records
    it they lose the committed state. Where a lock has just been taken they leave it taken, and others wait for it for
    ever. So neither the first signal is delivered there, nor a second one of somebody who presses Ctrl-C again, be it
    before the first one is delivered or after it, while all is stopped and recorded. SIGHUP, which ends a login
    session, is treated like SIGTERM. In threads other than the main one, which receive no signals, this class does
    nothing.

    Parameters
    ----------
    patience_seconds
        How long after the first signal the next ones are deferred, too.
    """

    def __init__(self, patience_seconds: float = 5.0) -> None:
        self._patience_seconds = patience_seconds
        self._first_at: float | None = None
        self._handlers: dict[int, Handler] = {}
        self._previous: dict[int, Handler | int | None] = {}
        self._deferred: list[int] = []
        self._delivering = False
        self._blocking = False

    @contextmanager
    def deliver(self) -> Iterator[None]:
        """Deliver signals within this block up to the first, which may be a deferred one."""
        self._delivering = True
        try:
            self._deliver_first()
            yield
        finally:
            self._delivering = False

    @contextmanager
    def block(self) -> Iterator[None]:
        """Defer all signals within this block, however many."""
        self._blocking = True
        try:
            yield
        finally:
            self._blocking = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _NUMBERS:
                self._defer(number, signal.getsignal(number))
            if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
                self._defer(signal.SIGHUP, signal.getsignal(signal.SIGTERM), as_if=signal.SIGTERM)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, previous in self._previous.items():
            signal.signal(number, previous)
        if error is None:
            self._deliver_first()

    def _defer(self, number: int, handler: Handler | int | None, as_if: int | None = None) -> None:
        if not callable(handler):
            return
        self._previous[number] = signal.getsignal(number)
        self._handlers[number] = lambda _, frame: handler(as_if or number, frame)
        signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        seems_to_hang = self._first_at is not None and monotonic() - self._first_at >= self._patience_seconds
        if self._first_at is None:
            self._first_at = monotonic()
        if not self._blocking and (self._delivering or seems_to_hang):
            self._deliver(number, frame)
        else:
            self._deferred.append(number)

    def _deliver_first(self) -> None:
        if self._deferred:
            self._deliver(self._deferred[0], None)

    def _deliver(self, number: int, frame: FrameType | None) -> None:
        self._deferred.clear()
        self._delivering = False  # at once, because another signal can come before any line after this one
        self._handlers[number](number, frame)
