"""
Send Prefect's events about task runs to its server in batches, without those that are out of date by then.

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
from prefect.events.clients import RETRYABLE_EXCEPTIONS, EventsClient, PrefectEventsClient, get_events_client
from prefect.events.related import related_resources_from_run_context
from prefect.events.worker import EventsWorker
from prefect.utilities.context import temporary_context

from climate_ref_prefect.flows.server.best_effort_calls import SERVER_ERRORS

_BATCH_SECONDS: Final = 0.5
"""How late an event may be sent. What ends within this time needs one event, and an event is what costs the server."""
_CLOSE_SECONDS: Final = 30.0
_PASSING: Final = frozenset({StateType.PENDING.value, StateType.RUNNING.value})
_FINAL: Final = frozenset(state.value for state in TERMINAL_STATES)
_EMITTER: Final[Any] = utilities
"""Where Prefect's `emit_event` looks for its sender. No setting of Prefect names it."""
_LOGGER: Final = logging.getLogger(__name__)


class _Emitted(NamedTuple):
    event: Event
    flow_run_id: UUID
    context: contextvars.Context | None
    """Context in which the event was emitted; None once its related resources are known."""


class EventSender:
    """
    Replaces Prefect's `EventsWorker`: events that are sent to it reach the server soon, and in order.

    Outside of a flow run, and once it is closed, it passes events to Prefect's own sender.
    """

    client_type = PrefectEventsClient

    def __init__(self) -> None:
        self._emitted: queue.SimpleQueue[_Emitted] = queue.SimpleQueue()
        self._unsent: deque[_Emitted] = deque()
        self._related: dict[UUID, list[RelatedResource]] = {}
        self._loop = asyncio.new_event_loop()
        self._closing = asyncio.Event()
        self._closed = False
        self._lost = 0
        self._given_up = False
        settings = contextvars.copy_context()  # which server it is
        self._thread = threading.Thread(target=settings.run, args=(self._work,), name="send-events", daemon=True)
        self._thread.start()

    def instance(self) -> "EventSender | EventsWorker":
        """Return the sender of events, as `EventsWorker.instance` does."""
        return EventsWorker.instance() if self._closed or _flow_run_id() is None else self

    def send(self, event: Event) -> None:
        """Queue an event for sending. Returns at once."""
        flow_run_id = _flow_run_id()
        assert flow_run_id is not None  # noqa: S101 - `instance` has looked
        if self._given_up:
            self._lost += 1
            return
        context = None if flow_run_id in self._related else contextvars.copy_context()
        self._emitted.put(_Emitted(event, flow_run_id, context))

    def close(self) -> None:
        """Wait until the queued events are sent, but only for a limited time if the server does not answer."""
        self._closed = True
        with suppress(RuntimeError):  # The thread has given up.
            self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join(_CLOSE_SECONDS)
        missing = self._lost + len(self._unsent) + self._emitted.qsize()
        if missing:
            _LOGGER.warning("Prefect's server was not sent %d events: its UI will not show all task runs.", missing)

    def _work(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            try:
                runner.run(self._send_all())
            except Exception as error:  # noqa: BLE001 - results matter more than their being shown
                _LOGGER.warning("Prefect's server takes no events: %s", error)
                self._given_up = True

    async def _send_all(self) -> None:
        async with get_client() as client, get_events_client() as events:
            last = False
            while not last:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), _BATCH_SECONDS)
                # Read before the batch is taken, so that the last batch contains all events.
                last = self._closing.is_set()
                await self._send_batch(client, events)

    async def _send_batch(self, client: PrefectClient, events: EventsClient) -> None:
        emitted = [self._emitted.get() for _ in range(self._emitted.qsize())]
        self._unsent = deque(_without_outdated(emitted))
        try:
            while self._unsent:
                await self._relate(self._unsent[0], client)
                await self._send_one(self._unsent[0].event, events)
                self._unsent.popleft()
        except RETRYABLE_EXCEPTIONS as error:
            # Prefect has tried ten times in ten seconds. An endless queue would fill the memory.
            _LOGGER.warning("Prefect's server takes no events: %s", error)
            self._lost += len(self._unsent)
            self._unsent.clear()

    async def _send_one(self, event: Event, events: EventsClient) -> None:
        try:
            await events.emit(event)
        except RETRYABLE_EXCEPTIONS:
            raise
        except Exception as error:  # noqa: BLE001 - the next one may be in order
            _LOGGER.warning("The event %s cannot be sent: %s", event.event, error)
            self._lost += 1

    async def _relate(self, emitted: _Emitted, client: PrefectClient) -> None:
        if emitted.flow_run_id not in self._related and emitted.context is not None:
            self._related[emitted.flow_run_id] = await _related(emitted.flow_run_id, emitted.context, client)
        itself = emitted.event.resource.id
        related = self._related.get(emitted.flow_run_id, [])
        emitted.event.related += [resource for resource in related if resource.id != itself]


async def _related(flow_run_id: UUID, context: contextvars.Context, client: PrefectClient) -> list[RelatedResource]:
    """Return the related resources of all task runs of a flow run; at least the flow run, by which they are found."""
    try:
        with temporary_context(context=context):
            found = await related_resources_from_run_context(client)
    except SERVER_ERRORS as error:
        _LOGGER.warning("Prefect's server does not say what flow run %s belongs to: %s", flow_run_id, error)
        itself = {"prefect.resource.id": f"prefect.flow-run.{flow_run_id}", "prefect.resource.role": "flow-run"}
        return [RelatedResource(itself)]
    return [resource for resource in found if resource.role != "task-run"]


def _without_outdated(batch: Sequence[_Emitted]) -> list[_Emitted]:
    """Remove pending and running events of task runs of which the same batch holds a later such event, or the final."""
    superseded: set[str] = set()
    shortened: set[str] = set()
    kept: list[_Emitted] = []
    for emitted in reversed(batch):
        task_run, state = emitted.event.resource.id, _state(emitted.event)
        if state in _PASSING and task_run in superseded:
            shortened.add(task_run)
            continue
        if state in _PASSING or state in _FINAL:
            superseded.add(task_run)
        kept.append(emitted)
    for emitted in kept:
        if emitted.event.resource.id in shortened:
            emitted.event.follows = None  # A server would wait for the event that was removed.
    return kept[::-1]


def _state(event: Event) -> str | None:
    """Return the state of the task run; None for an event about something else."""
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
