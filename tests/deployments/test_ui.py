"""Flows and deployments in Prefect's user interface, in a real browser."""

from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId, FlowRunFilter, FlowRunFilterName
from prefect.client.schemas.objects import Artifact, FlowRun, StateType
from selenium.webdriver.common.by import By

from climate_ref_prefect.flows.server.local_server import LocalServer
from tests.browser import Browser
from tests.deployments.work import MODELS, Work, wait_for_end
from tests.prefect_server import task_runs

pytestmark = pytest.mark.slow
KEY = "{}.historical.r1i1p1f1.Amon.ta.gn"
ALL_IN_VIEW = 20
"""Task runs that the page of a flow run lists before one scrolls."""


@pytest.fixture(scope="session")
def ui(browser: Browser, prefect_server: LocalServer) -> str:
    """Where the interface is that Prefect shows at first, once a person has logged in."""
    browser.log_in(prefect_server.ui_url, prefect_server.variables["PREFECT_API_AUTH_STRING"])
    return f"{prefect_server.ui_url}/v2"


@pytest.fixture
def artifacts(finished: FlowRun) -> dict[str, Artifact]:
    """The artifacts of the finished solve."""
    with get_client(sync_client=True) as client:
        of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[finished.id]))
        return {found.key: found for found in client.read_artifacts(artifact_filter=of_run) if found.key}


@pytest.fixture
def form(browser: Browser, ui: str, work: Work) -> Browser:
    """The form that runs a diagnostic."""
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name("run-diagnostic/run-diagnostic")
    browser.open(f"{ui}/deployments/deployment/{deployment.id}/run", "Parameters", "Enforce Parameter Schema")
    return browser


def test_the_address_that_is_printed_leads_to_the_runs(
    browser: Browser, prefect_server: LocalServer, ui: str, finished: FlowRun
) -> None:
    assert ui.startswith(prefect_server.ui_url)
    browser.open(prefect_server.ui_url, "Flow Runs", "Task Runs")
    browser.open(f"{prefect_server.ui_url}/runs/flow-run/{finished.id}", finished.name, "Completed")


def test_the_page_of_a_solve_lists_its_task_runs_by_phase_and_execution(
    browser: Browser, ui: str, finished: FlowRun
) -> None:
    number = len(task_runs(finished.id))
    assert number <= ALL_IN_VIEW
    phases = ("dispatch", "run", "classify", "publish", "ingest", "finalise")
    names = [f"{phase} demo/annual-cycle/{KEY.format(model)} #" for phase in phases for model in MODELS]
    browser.open(f"{ui}/runs/flow-run/{finished.id}?tab=TaskRuns", f"{number} Task runs", *names)
    browser.wait_for_text(f"({number} Completed)")


def test_the_results_page_shows_the_plots(
    browser: Browser, ui: str, work: Work, artifacts: dict[str, Artifact]
) -> None:
    browser.open(f"{ui}/artifacts/artifact/{artifacts['solve-results'].id}", "3 succeeded", str(work.home / "results"))

    def widths() -> list[int]:
        images = browser.driver.find_elements(By.CSS_SELECTOR, "img[src^='data:image/png']")
        return [int(image.get_property("naturalWidth")) for image in images]  # type: ignore[arg-type]

    shown = browser.wait(lambda: (found := widths()) and all(found) and found, "plots are shown")
    assert len(shown or []) == len(MODELS)


def test_tables_and_progress_are_shown(browser: Browser, ui: str, artifacts: dict[str, Artifact]) -> None:
    browser.open(f"{ui}/artifacts/artifact/{artifacts['solve-summary'].id}", "demo/annual-cycle", "asked MiB")
    browser.open(f"{ui}/artifacts/artifact/{artifacts['solve-executions'].id}", KEY.format("MIROC6"), "success")
    browser.open(f"{ui}/artifacts/artifact/{artifacts['solve-progress'].id}", "Progress: 100%")


def test_the_form_shows_all_parameters_and_what_they_are(form: Browser) -> None:
    wanted = ["diagnostic", "key", "provider", "data", "transport", "rerun"]
    form.wait(lambda: [name for name in form.names() if name in wanted] == wanted, f"the fields are {wanted}")
    form.wait_for_text("Slug of the diagnostic", "Key of the group", "Where the execution runs.")
    assert form.field("provider").get_property("value") == "demo"
    assert form.field("data").get_property("value") == "sample"


def test_the_form_begins_with_the_local_transport(form: Browser) -> None:
    form.wait(lambda: form.tab("LocalTransport").get_attribute("data-state") == "active", "its tab is shown")
    assert form.field("Kind").get_property("value") == "local"


def test_a_run_that_is_submitted_by_the_form_succeeds(form: Browser, tree: Path) -> None:
    for name, value in {"diagnostic": "annual-cycle", "key": KEY.format("CanESM5"), "data": str(tree)}.items():
        form.fill(name, value)
    name = str(form.field("Run").get_property("value"))
    form.submit()
    assert wait_for_end(_started(name)).state_type is StateType.COMPLETED


def _started(name: str) -> UUID:
    with get_client(sync_client=True) as client:
        [run] = client.read_flow_runs(flow_run_filter=FlowRunFilter(name=FlowRunFilterName(any_=[name])))
        return run.id
