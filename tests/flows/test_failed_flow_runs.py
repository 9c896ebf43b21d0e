"""How failures show in Prefect: the states of flow and task runs, what their logs explain, and what callers get."""

import pickle
import re
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State, TaskRun

from climate_ref_prefect.flows import solve as flows
from climate_ref_prefect.flows.report.fail_if import FailIf
from climate_ref_prefect.flows.report.solve_report import ExecutionsFailedError
from climate_ref_prefect.testing.executions import QUICK
from climate_ref_prefect.testing.processes import wait_until
from climate_ref_prefect.transports.this_machine.in_parallel import LocalTransport
from climate_ref_prefect.transports.this_machine.one_at_a_time import InlineTransport
from tests.flows.coordinator_processes import run_command
from tests.flows.temporary_site import PROVIDER, Site
from tests.prefect_server import messages_of_task_run, task_runs

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture
def site(site: Site) -> Site:
    """A site with one model."""
    site.add_models("ModelA")
    return site


def state_on_server(flow_run_id: UUID) -> State:
    with get_client(sync_client=True) as client:
        state = client.read_flow_run(flow_run_id).state
    assert state is not None
    return state


def runs_of(flow_run_id: UUID, diagnostic: str) -> list[TaskRun]:
    """Return the `run` task runs of a diagnostic, in the order in which they began."""
    found = [run for run in task_runs(flow_run_id) if run.name.startswith(f"run flows/{diagnostic}/")]
    return sorted(found, key=lambda run: str(run.start_time))


@pytest.mark.parametrize(
    ("fail_if", "diagnostics", "expected"),
    [
        ("given_up", ("good", "own-error"), "Failed"),
        ("given_up", ("good",), "Completed"),
        ("any", ("good", "own-error"), "Failed"),
        ("all", ("good", "own-error"), "Completed"),
        ("all", ("own-error",), "Failed"),
        ("none", ("own-error",), "Completed"),
    ],
)
def test_the_flow_run_ends_as_it_was_asked_to_and_says_what_came_out(
    site: Site, fail_if: FailIf, diagnostics: tuple[str, ...], expected: str
) -> None:
    solved = site.solve(*diagnostics, fail_if=fail_if)
    state = state_on_server(solved.flow_run_id)
    failed = diagnostics.count("own-error")
    assert (state.name, state.message) == (expected, solved.report.headline())
    assert str(state.message).startswith(f"{len(diagnostics) - failed} succeeded, {failed} failed, ")


def test_what_the_next_solve_tries_again_has_not_been_given_up(site: Site) -> None:
    solved = site.solve("changes-inputs")
    assert [row.failure_kind for row in solved.report.failed] == ["input_changed"]
    assert state_on_server(solved.flow_run_id).name == "Completed"


def test_callers_get_the_report_and_may_have_failures_raised(site: Site) -> None:
    report = flows.solve(str(site.data), [PROVIDER], ["good", "own-error"], LocalTransport(cpu=2, limits=QUICK))
    assert (report.succeeded, len(report.failed), report.ok) == (1, 1, False)
    with pytest.raises(ExecutionsFailedError, match="1 succeeded, 1 failed") as caught:
        report.raise_for_failures()
    assert "diagnostic_error (error of the diagnostic): Read the log." in str(caught.value)
    assert caught.value.report is report
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    settled = flows.solve(str(site.data), [PROVIDER], ["good"], LocalTransport(cpu=2, limits=QUICK))
    settled.raise_for_failures()


def test_the_task_run_of_a_failure_explains_it_in_its_log(site: Site) -> None:
    solved = site.solve("own-error")
    (run,) = runs_of(solved.flow_run_id, "own-error")
    assert run.state is not None
    assert (run.state.name, run.state.message) == ("Failed", "error of the diagnostic: DiagnosticError: no such method")
    explained = "\n".join(wait_until(lambda: messages_of_task_run(run.id)))
    for words in (
        "error of the diagnostic: DiagnosticError: no such method",
        "Traceback (most recent call last)",
        "run.log:",
        "Mend",
    ):
        assert words.lower() in explained.lower()
    assert explained.count("Traceback (most recent call last)") == 1


def test_the_console_has_a_line_of_each_failure_and_no_traceback(site: Site) -> None:
    ended = run_command("solve", "--data", str(site.data), "--provider", PROVIDER, "--diagnostic", "own-error")
    assert ended.code == 1
    assert "Finished in state Failed('error of the diagnostic: DiagnosticError: no such method')" in ended.errors
    assert "Traceback" not in ended.errors + ended.output


def test_a_success_explains_nothing(site: Site) -> None:
    solved = site.solve("good", "own-error", transport=InlineTransport(limits=QUICK))  # one after the other
    (failed,) = runs_of(solved.flow_run_id, "own-error")
    wait_until(lambda: messages_of_task_run(failed.id))
    (run,) = runs_of(solved.flow_run_id, "good")
    assert messages_of_task_run(run.id) == []


@pytest.mark.parametrize("options", [{}, {"flow_run_name": "mine"}])
def test_a_flow_with_other_options_returns_the_report_too(site: Site, options: dict[str, str]) -> None:
    mine = flows.solve.with_options(**options)  # type: ignore[arg-type]
    report = mine(str(site.data), [PROVIDER], ["own-error"], LocalTransport(cpu=2, limits=QUICK))
    assert (report.ok, len(report.failed)) == (False, 1)


def test_the_plain_function_returns_the_report_in_a_flow_of_ones_own(site: Site) -> None:
    @flow
    def mine() -> bool:
        report = flows.solve.fn(str(site.data), [PROVIDER], ["own-error"], LocalTransport(cpu=2, limits=QUICK))
        return report.ok

    assert mine() is False


def test_another_attempt_says_why_there_is_one_and_at_what_size(site: Site) -> None:
    solved = site.solve("hungry", transport=LocalTransport(cpu=2, memory_mb=2000, limits=QUICK))
    first, second, *_ = runs_of(solved.flow_run_id, "hungry")
    assert re.fullmatch(r"run flows/hungry/ModelA #1", first.name)
    assert second.name.startswith("run flows/hungry/ModelA #2, attempt 2 after out of memory: 100 MiB, 0:")


def test_a_solve_that_runs_again_what_was_given_up_says_so(site: Site) -> None:
    site.solve("own-error")
    solved = site.solve("own-error", rerun="failed")
    (run,) = runs_of(solved.flow_run_id, "own-error")
    assert "#2, attempt 2 after error of the diagnostic: " in run.name
