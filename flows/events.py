"""
Sends what Prefect emits about task runs to its server: in batches, and nothing that is out of date by then.

Prefect's own sender (`prefect/events/worker.py`) wakes two threads and starts four coroutines for each event, of which
a task run makes three. docs/decisions/0010 has the figures, and says what is left out.
"""

import asyncio
import contextvars
import logging
import queue
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, NamedTuple
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.objects import TERMINAL_STATES, StateType
from prefect.context import FlowRunContext
from prefect.events import Event, RelatedResource, utilities
from prefect.events.clients import EventsClient, PrefectEventsClient, get_events_client
from prefect.events.related import related_resources_from_run_context
from prefect.events.worker import EventsWorker
from prefect.utilities.context import temporary_context

_BATCH_SECONDS: Final = 0.25
_CLOSE_SECONDS: Final = 30.0
_PASSING: Final = frozenset({StateType.PENDING.value, StateType.RUNNING.value})
_FINAL: Final = frozenset(state.value for state in TERMINAL_STATES)
_EMITTER: Final[Any] = utilities
"""Where Prefect's `emit_event` looks for its sender; no setting of Prefect's says which it is."""
_LOGGER: Final = logging.getLogger(__name__)


class _Emitted(NamedTuple):
    event: Event
    flow_run_id: UUID
    context: contextvars.Context | None
    """Where the event was emitted; None once what it relates to is known."""


class EventSender:
    """
    Stands where Prefect looks for its `EventsWorker`: what is sent to it reaches the server soon, and in order.

    Outside of a flow run, and once it is closed, it hands over to Prefect's own.
    """

    client_type = PrefectEventsClient

    def __init__(self) -> None:
        self._emitted: queue.SimpleQueue[_Emitted] = queue.SimpleQueue()
        self._related: dict[UUID, list[RelatedResource]] = {}
        self._loop = asyncio.new_event_loop()
        self._closing = asyncio.Event()
        self._lost = 0
        self._given_up = False
        settings = contextvars.copy_context()  # which server it is
        self._thread = threading.Thread(target=settings.run, args=(self._work,), name="send-events", daemon=True)
        self._thread.start()

    def instance(self) -> "EventSender | EventsWorker":
        """Return what sends events, as `EventsWorker.instance` does."""
        return EventsWorker.instance() if self._closing.is_set() or _flow_run_id() is None else self

    def send(self, event: Event) -> None:
        """Have an event sent; returns at once."""
        flow_run_id = _flow_run_id()
        assert flow_run_id is not None  # noqa: S101 - `instance` has looked
        if self._given_up:
            self._lost += 1
            return
        context = None if flow_run_id in self._related else contextvars.copy_context()
        self._emitted.put(_Emitted(event, flow_run_id, context))

    def close(self) -> None:
        """Wait for what is still to be sent, but not for ever for a server that does not answer."""
        with suppress(RuntimeError):  # it has given up by itself
            self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join(_CLOSE_SECONDS)
        unsent = self._lost + self._emitted.qsize()
        if unsent:
            _LOGGER.warning("Prefect's server did not take %d events: task runs will be missing in its UI.", unsent)

    def _work(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                runner.run(self._send_all())
            except Exception as error:  # noqa: BLE001 - results matter more than their being shown
                _LOGGER.warning("Prefect's server takes no events: %s", error)
                self._given_up = True

    async def _send_all(self) -> None:
        async with get_client() as client, get_events_client() as events:
            while not self._closing.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), _BATCH_SECONDS)
                batch = deque(_without_outdated(self._take_batch()))
                while batch and await self._send_one(batch.popleft(), client, events):
                    pass
                self._lost += len(batch)

    def _take_batch(self) -> list[_Emitted]:
        return [self._emitted.get() for _ in range(self._emitted.qsize())]

    async def _send_one(self, emitted: _Emitted, client: PrefectClient, events: EventsClient) -> bool:
        """Send an event; false where Prefect has tried in vain to connect again, ten times in as many seconds."""
        try:
            emitted.event.related += await self._relations(emitted, client)
            await events.emit(emitted.event)
        except Exception as error:  # noqa: BLE001 - results matter more than their being shown
            if not self._lost:
                _LOGGER.warning("Prefect's server does not take the event %s: %s", emitted.event.event, error)
            self._lost += 1
            return False
        return True

    async def _relations(self, emitted: _Emitted, client: PrefectClient) -> list[RelatedResource]:
        if emitted.flow_run_id not in self._related and emitted.context is not None:
            with temporary_context(context=emitted.context):
                itself = emitted.event.resource.id
                self._related[emitted.flow_run_id] = await related_resources_from_run_context(client, {itself})
        return self._related.get(emitted.flow_run_id, [])


def _without_outdated(batch: Sequence[_Emitted]) -> list[_Emitted]:
    """Leave out that a task run was pending or running where the same batch says how it ended."""
    ended = {emitted.event.resource.id for emitted in batch if _state(emitted.event) in _FINAL}
    kept = []
    for emitted in batch:
        if emitted.event.resource.id in ended:
            if _state(emitted.event) in _PASSING:
                continue
            emitted.event.follows = None  # a server would wait for what is left out
        kept.append(emitted)
    return kept


def _state(event: Event) -> str | None:
    """Return the state that a task run has come to; None for an event of something else."""
    return event.resource.get("prefect.state-type") if event.event.startswith("prefect.task-run.") else None


@contextmanager
def batched_events() -> Iterator[None]:
    """Send the events of this process in batches for as long as the context lasts."""
    sender, before = EventSender(), _EMITTER.EventsWorker
    _EMITTER.EventsWorker = sender
    try:
        yield
    finally:
        _EMITTER.EventsWorker = before
        sender.close()


def _flow_run_id() -> UUID | None:
    context = FlowRunContext.get()
    return context.flow_run.id if context and context.flow_run else None
