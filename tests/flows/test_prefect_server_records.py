"""What Prefect's server records while a solve runs, and a solve whose server ends."""

import os
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from climate_ref_prefect.flows.server import task_run_counter
from climate_ref_prefect.flows.server.local_server import local_server
from climate_ref_prefect.testing.processes import Process, started_here, wait_until
from tests.flows.coordinator_processes import Coordinator, coordinator
from tests.flows.temporary_site import Site
from tests.prefect_server import task_runs

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

SLOW = "tests.flows.slow_provider:provider"
MODELS = ("ModelA", "ModelB")


@pytest.fixture
def site(site: Site) -> Site:
    """A site with some models."""
    site.add_models(*MODELS)
    return site


@pytest.fixture
def waiting(site: Site) -> Iterator[Coordinator]:
    """A coordinator whose executions run until they are asked to end."""
    with coordinator(site, "waits-for-go") as started:
        started.wait_until_it_holds(*(site.notes / f"started-{model}" for model in MODELS))
        yield started


def states_of_task_runs(flow_run_id: UUID) -> list[list[str]]:
    """Return the names of the states that the server has recorded of each task run of a flow run."""
    with get_client(sync_client=True) as client:
        return [
            [
                state["name"]
                for state in client.request("GET", "/task_run_states/", params={"task_run_id": run.id}).json()
            ]
            for run in task_runs(flow_run_id)
        ]


def test_task_runs_that_were_over_at_once_have_their_times_and_their_flow_run(site: Site) -> None:
    solved = site.solve("good")
    shown = task_runs(solved.flow_run_id)
    assert len(shown) == 1 + 6 * len(MODELS)
    for run in shown:
        assert run.flow_run_id == solved.flow_run_id
        assert run.start_time is not None
        assert run.end_time is not None
        assert run.start_time <= run.end_time


def test_what_takes_its_time_is_seen_running(site: Site, waiting: Coordinator) -> None:
    holder = site.holder()
    assert holder is not None
    assert holder.flow_run_id is not None
    flow_run_id = UUID(holder.flow_run_id)
    running = wait_until(
        lambda: [run for run in task_runs(flow_run_id) if run.state_type is StateType.RUNNING and run.start_time]
    )
    assert all(run.name.startswith("run flows/waits-for-go/Model") for run in running)
    (site.notes / "go").touch()
    assert waiting.wait() == 0
    assert {run.state_type for run in task_runs(flow_run_id)} == {StateType.COMPLETED}
    # That it was pending for a moment is not sent, unless that falls between two batches.
    assert ["Running", "Completed"] in states_of_task_runs(flow_run_id)


def test_a_provider_is_imported_once_for_planning_and_running(site: Site) -> None:
    site.solve("good", "other", providers=[SLOW])
    assert (site.notes / "imports").read_text() == "once\n"


def test_task_runs_that_are_over_at_once_are_one_event_each(site: Site) -> None:
    told = states_of_task_runs(site.solve("good").flow_run_id)
    assert {states[-1] for states in told} == {"Completed"}
    assert ["Completed"] in told


def test_a_server_that_records_nothing_more_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    keeping = task_run_counter.TaskRunCounter(uuid4())
    for _ in range(1_500):
        keeping.count()
    with get_client(sync_client=True) as client:
        keeping.refresh(client)
        assert keeping.lags_behind()
        monkeypatch.setattr(task_run_counter, "_TIMEOUT_SECONDS", 0.0)
        keeping.refresh(client)
        assert not keeping.lags_behind()
    recorded = keeping.wait_until_recorded()
    assert (recorded.finished, recorded.recorded, recorded.complete) == (1_500, 0, False)


class TestServerGone:
    """Executions and their results do not need the server that shows them."""

    def test_they_go_on_and_the_user_gets_a_warning(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PREFECT_CLIENT_MAX_RETRIES", "0")
        with coordinator(site, "waits-for-go", "good", without=["PREFECT_API_URL"]) as started:
            started.wait_until_it_holds(*(site.notes / f"started-{model}" for model in MODELS))
            kill_server(started)
            (site.notes / "go").touch()
            assert started.wait(180) == 1, started.said
        assert re.search(
            r"\nclimate-ref-prefect: Prefect's server at .* does not answer: .*climate-ref-prefect solve", started.said
        )
        assert "Traceback" not in started.said
        assert [row.successful for row in site.attempts()] == [True] * 4
        site.assert_settled()
        assert site.solve("waits-for-go", "good").report.headline().startswith("All up to date")

    def test_nothing_is_held_back_for_it(self, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(task_run_counter, "_LAG_AT_MOST", 3)
        before = started_here()
        with local_server(tmp_path / "server"), temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
            server = next(process for process in started_here() - before if "prefect server" in process.command)
            killer = threading.Thread(target=kill_meanwhile, args=(server, site))
            killer.start()
            with pytest.raises(httpx.ConnectError):
                site.solve("waits-for-go", "good", "other")
            killer.join()
        assert [row.successful for row in site.attempts()] == [True] * 6

    def test_one_that_never_was_there(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
        with coordinator(site, "good") as started:
            assert started.wait(60) == 1
        assert "Prefect's server at http://127.0.0.1:9/api does not answer" in started.said
        assert "Traceback" not in started.said
        assert not site.runs()


def kill_meanwhile(server: Process, site: Site) -> None:
    """Kill a server while executions run, and then have these end."""
    wait_until(lambda: all((site.notes / f"started-{model}").exists() for model in MODELS), 60)
    os.kill(server.pid, signal.SIGKILL)
    (site.notes / "go").touch()


def kill_server(started: Coordinator) -> None:
    server = wait_until(lambda: next(iter(servers(started)), None))
    os.kill(server.pid, signal.SIGKILL)
    wait_until(lambda: not server.alive)


def servers(started: Coordinator) -> list[Process]:
    return [process for process in started.remaining() if "prefect server start" in process.command]
