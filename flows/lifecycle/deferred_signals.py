"""Defer signals until an exception does no harm."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Final, Self

_NUMBERS: Final = (signal.SIGINT, signal.SIGTERM)
Handler = Callable[[int, FrameType | None], object]


class DeferredSignals:
    """
    Defers the first signal until a block that delivers signals. A second signal is delivered at once.

    Ctrl-C and SIGTERM become exceptions, which are raised wherever the main thread happens to be. Inside Prefect's
    task engine they turn into errors of the engine (`Task run is not set`). Between a commit and the line that records
    it they lose the committed state. SIGHUP, which ends a login session, is treated like SIGTERM. In threads other
    than the main one, which receive no signals, this class does nothing.
    """

    def __init__(self) -> None:
        self._handlers: dict[int, Handler] = {}
        self._previous: dict[int, Handler | int | None] = {}
        self._held: list[int] = []
        self._heard = False
        self._open = False
        self._shut = False

    @contextmanager
    def deliver(self) -> Iterator[None]:
        """Deliver signals within this block, first of all a deferred one."""
        self._open = True
        try:
            self._let_through()
            yield
        finally:
            self._open = False

    @contextmanager
    def block(self) -> Iterator[None]:
        """Defer all signals within this block, second ones too, and deliver the first of them at its end."""
        self._shut = True
        try:
            yield
        finally:
            self._shut = False
        self._let_through()

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _NUMBERS:
                self._signals(number, signal.getsignal(number))
            if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
                self._signals(signal.SIGHUP, signal.getsignal(signal.SIGTERM), as_if=signal.SIGTERM)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, previous in self._previous.items():
            signal.signal(number, previous)
        if error is None:
            self._let_through()

    def _signals(self, number: int, handler: Handler | int | None, as_if: int | None = None) -> None:
        if not callable(handler):
            return
        self._previous[number] = signal.getsignal(number)
        self._handlers[number] = lambda _, frame: handler(as_if or number, frame)
        signal.signal(number, self._hear)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        at_once = not self._shut and (self._open or self._heard)
        self._heard = True
        if at_once:
            self._held.clear()
            self._handlers[number](number, frame)
        else:
            self._held.append(number)

    def _let_through(self) -> None:
        if self._held:
            number = self._held.pop(0)
            self._handlers[number](number, None)
