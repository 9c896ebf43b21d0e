"""Signals are delivered where they do no harm."""

import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

import pytest

from climate_ref_prefect.flows.lifecycle.deferred_signals import DeferredSignals

NUMBERS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


class ToldError(Exception):
    """What a handler of the tests makes of a signal."""


def tell(number: int, frame: FrameType | None) -> None:
    raise ToldError(signal.Signals(number).name)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Make exceptions of SIGINT and SIGTERM, as Python and Prefect do, and leave SIGHUP to the kernel."""
    previous = {number: signal.getsignal(number) for number in NUMBERS}
    signal.signal(signal.SIGINT, tell)
    signal.signal(signal.SIGTERM, tell)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in previous.items():
        signal.signal(number, handler)


def signal_closed_then_open(number: int, done: list[str]) -> None:
    with DeferredSignals() as gate:
        signal.raise_signal(number)
        done.append("went on")
        with gate.deliver():
            done.append("opened")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_until_the_gate_is_opened(number: signal.Signals) -> None:
    done: list[str] = []
    with pytest.raises(ToldError, match=number.name):
        signal_closed_then_open(number, done)
    assert done == ["went on"]


def test_a_signal_is_delivered_at_once_while_signals_are_delivered() -> None:
    with DeferredSignals() as gate, gate.deliver(), pytest.raises(ToldError):
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("delivered", [False, True], ids=["before", "after"])
def test_where_it_seems_to_hang_a_second_signal_is_delivered_at_once(*, delivered: bool) -> None:
    with DeferredSignals(patience_seconds=0) as gate:
        if delivered:
            with gate.deliver(), pytest.raises(ToldError):
                signal.raise_signal(signal.SIGINT)
        else:
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(ToldError):
            signal.raise_signal(signal.SIGINT)


def test_the_next_signals_are_deferred_as_well() -> None:
    done: list[str] = []
    with DeferredSignals() as gate:
        for _ in range(5):
            signal.raise_signal(signal.SIGINT)
            done.append("went on")
        with pytest.raises(ToldError), gate.deliver():
            done.append("opened")
        signal.raise_signal(signal.SIGINT)
        done.append("cleaned up")
        with pytest.raises(ToldError), gate.deliver():
            done.append("opened")
    assert done == ["went on"] * 5 + ["cleaned up"]


def interrupt_twice(done: list[str]) -> None:
    with DeferredSignals() as gate, gate.deliver():
        try:
            signal.raise_signal(signal.SIGINT)
        finally:
            signal.raise_signal(signal.SIGTERM)
            done.append("cleaned up")


def test_a_second_signal_does_not_break_into_what_the_first_one_ends() -> None:
    done: list[str] = []
    with pytest.raises(ToldError, match="SIGINT"):
        interrupt_twice(done)
    assert done == ["cleaned up"]


def test_blocked_signals_are_deferred_however_many() -> None:
    done: list[str] = []
    with DeferredSignals(patience_seconds=0) as gate:
        with gate.block():
            for _ in range(3):
                signal.raise_signal(signal.SIGINT)
            done.append("went on")
        with pytest.raises(ToldError), gate.deliver():
            done.append("opened")
    assert done == ["went on"]


def test_the_end_of_a_session_is_taken_for_a_request_to_terminate() -> None:
    with pytest.raises(ToldError, match="SIGTERM"):
        signal_closed_then_open(signal.SIGHUP, [])


def test_who_ignores_the_end_of_sessions_goes_on() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with DeferredSignals() as gate:
        signal.raise_signal(signal.SIGHUP)
        with gate.deliver():
            pass


def signal_and(number: int, go_on: Callable[[], object]) -> None:
    with DeferredSignals():
        signal.raise_signal(number)
        go_on()


def test_a_signal_that_was_never_delivered_is_not_lost() -> None:
    with pytest.raises(ToldError):
        signal_and(signal.SIGTERM, list)


def test_an_error_is_raised_before_a_deferred_signal() -> None:
    with pytest.raises(IndexError):
        signal_and(signal.SIGTERM, [].pop)


def test_the_handlers_are_put_back() -> None:
    with DeferredSignals():
        assert signal.getsignal(signal.SIGTERM) is not tell
    assert [signal.getsignal(number) for number in NUMBERS] == [tell, tell, signal.SIG_DFL]


def test_in_another_thread_it_changes_nothing() -> None:
    seen = []

    def inside() -> None:
        with DeferredSignals():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert seen == [tell]
