"""A server with the deployments on it, a worker for them, and a solve that it has finished."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.schemas.objects import FlowRun

from climate_ref_prefect.flows.server.local_server import LocalServer
from tests.browser import PROGRAMS, Browser, open_browser
from tests.deployments.work import Work, deploy, link_models, worker


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CMIP6 tree with monthly data of three models."""
    return link_models(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="session")
def work(prefect_server: LocalServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Work]:
    """Deployments, and a worker that runs them."""
    root = tmp_path_factory.mktemp("work")
    checkout, home = root / "checkout", root / "state"
    deploy(checkout)
    with worker(home, root / "worker.log") as pid:
        yield Work(checkout, home, pid)


@pytest.fixture(scope="session")
def finished(work: Work, tree: Path) -> FlowRun:
    """The flow run of a solve of one diagnostic for three models, started by `prefect deployment run`."""
    return work.run("solve/solve", f"data={tree}", f"diagnostics={json.dumps(['annual-cycle'])}")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A browser; without one its tests are left out, but not on CI."""
    if not all(shutil.which(program) for program in PROGRAMS) and not os.environ.get("CI"):
        pytest.skip("chromium and chromedriver are not installed")
    with open_browser() as found:
        yield found
