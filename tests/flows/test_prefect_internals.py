"""What this project relies on inside Prefect: where a new version changes one of these, a test here names it."""

import asyncio
import inspect
import logging
from typing import Any

import pytest
from prefect import flow, flow_engine
from prefect.client.schemas.objects import StateType
from prefect.context import FlowRunContext
from prefect.events import Event, clients, related, utilities
from prefect.events.worker import EventsWorker
from prefect.filesystems import NullFileSystem
from prefect.logging.handlers import APILogWorker
from prefect.server.utilities.messaging.memory import Subscription, Topic
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, get_current_settings, temporary_settings
from prefect.settings.base import PrefectBaseSettings
from prefect.settings.models.root import Settings
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.tasks import Task

from climate_ref_prefect.flows.server import task_run_counter
from climate_ref_prefect.flows.server.event_batches import batched_events
from climate_ref_prefect.flows.server.server_settings import SERVER_SETTINGS

EVENTS_PER_TASK_RUN = 3
"""Pending, running and a final state."""


def parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


def test_emit_event_finds_its_sender_by_the_name_that_flows_record_events_replaces() -> None:
    assert utilities.EventsWorker is EventsWorker  # type: ignore[attr-defined]
    assert "EventsWorker.instance" in inspect.getsource(utilities.emit_event)


def test_an_emitted_event_goes_to_the_sender_that_replaces_prefects_own(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Event] = []

    class Sender:
        client_type = clients.PrefectEventsClient

        @classmethod
        def instance(cls) -> "type[Sender]":
            return cls

        @staticmethod
        def send(event: Event) -> None:
            sent.append(event)

    monkeypatch.setattr(utilities, "EventsWorker", Sender)
    utilities.emit_event("climate-ref-prefect.test", {"prefect.resource.id": "climate-ref-prefect.test"})
    assert [event.event for event in sent] == ["climate-ref-prefect.test"]


def test_the_related_resources_of_a_run_are_asked_for_with_a_client_alone() -> None:
    required = [
        name
        for name, parameter in inspect.signature(related.related_resources_from_run_context).parameters.items()
        if parameter.default is inspect.Parameter.empty
    ]
    assert required == ["client"]
    assert asyncio.iscoroutinefunction(related.related_resources_from_run_context)


def test_errors_after_which_prefect_sends_an_event_again_are_a_tuple_of_exceptions() -> None:
    assert all(issubclass(error, Exception) for error in clients.RETRYABLE_EXCEPTIONS)


def test_events_of_task_runs_carry_their_state_where_flows_record_events_reads_it() -> None:
    from prefect import task_engine  # noqa: PLC0415 - only its source is looked at
    from prefect.utilities import engine  # noqa: PLC0415 - the same

    source = inspect.getsource(engine.emit_task_run_state_change_event)
    assert 'f"prefect.task-run.{' in source
    assert '"prefect.state-type"' in source
    assert "emit_task_run_state_change_event" in inspect.getsource(task_engine)


def test_queues_of_events_and_logs_can_be_drained() -> None:
    for queued in (EventsWorker, APILogWorker):
        assert "timeout" in parameters(queued.drain_all)


def test_lines_of_task_runs_go_through_the_logger_that_is_silenced() -> None:
    from prefect.logging.loggers import task_run_logger  # noqa: PLC0415 - only its source is looked at

    assert 'get_logger("prefect.task_runs")' in inspect.getsource(task_run_logger)
    assert logging.getLogger("prefect.task_runs").level <= logging.INFO


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_the_result_storage_of_a_flow_run_can_be_replaced() -> None:
    @flow
    def replaces() -> str:
        context = FlowRunContext.get()
        assert context is not None
        context.result_store.result_storage = NullFileSystem()  # type: ignore[assignment]
        return type(context.result_store.result_storage).__name__

    state = replaces(return_state=True)
    assert state.type is StateType.COMPLETED


def test_the_thread_pool_takes_what_the_transport_task_runner_hands_on() -> None:
    assert parameters(ThreadPoolTaskRunner.submit) == ["self", "task", "parameters", "wait_for", "dependencies"]
    assert "max_workers" in parameters(ThreadPoolTaskRunner.__init__)


def test_a_task_runs_the_function_that_its_copy_is_given() -> None:
    assert "fn" in vars(Task(fn=lambda: None))


def test_the_servers_queue_holds_what_the_ledger_keeps_in_reserve() -> None:
    queue = Subscription(Topic("test"))._queue
    assert queue.maxsize / 2 > task_run_counter._LAG_AT_MOST * EVENTS_PER_TASK_RUN


def test_every_setting_that_our_server_is_given_is_one_of_prefects() -> None:
    assert SERVER_SETTINGS.keys() <= environment_variables(Settings)


def test_the_recorder_is_flushed_every_few_whole_seconds_because_prefect_cuts_a_fraction_off() -> None:
    assert int(SERVER_SETTINGS["PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL"]) >= 1


def test_a_flow_run_without_a_frequency_of_heartbeats_has_none() -> None:
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        assert get_current_settings().flows.heartbeat_frequency is None
    assert "if heartbeat_seconds is None:" in inspect.getsource(flow_engine)


def environment_variables(settings: type[PrefectBaseSettings]) -> set[str]:
    """Return the names of the variables by which a tree of Prefect's settings is set."""
    names = set()
    for name, field in settings.model_fields.items():
        if inspect.isclass(field.annotation) and issubclass(field.annotation, PrefectBaseSettings):
            names |= environment_variables(field.annotation)
            continue
        prefix = settings.model_config.get("env_prefix", "")
        names.add(f"{prefix}{name}".upper())
    return names


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_batched_events_puts_prefects_own_sender_back() -> None:
    with batched_events():
        assert utilities.EventsWorker is not EventsWorker  # type: ignore[attr-defined]
    assert utilities.EventsWorker is EventsWorker  # type: ignore[attr-defined]
