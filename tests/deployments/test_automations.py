"""The automation of deployments/README.md, on a permanent server as it is described there."""

import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue

import pytest
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_API_URL, temporary_settings

from climate_ref_prefect.execution.host.process_tree import end_with_parent
from climate_ref_prefect.testing.processes import wait_until
from tests.deployments.work import ROOT, prefect
from tests.flows.temporary_site import Site
from tests.slurm.configuration import free_ports

pytestmark = pytest.mark.slow
NO_BLOCK = "00000000-0000-0000-0000-000000000000"
TIMEOUT_SECONDS = 60.0


@pytest.fixture
def permanent_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server with the settings of `prefect-server.env`, to which this process and those that it starts report."""
    lines = (ROOT / "deployments" / "prefect-server.env").read_text().splitlines()
    for name, _, value in (line.partition("=") for line in lines if line and not line.startswith("#")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    api_url = f"http://127.0.0.1:{port}/api"
    with (tmp_path / "server.log").open("wb") as log:
        server = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            preexec_fn=lambda: end_with_parent(signal.SIGTERM),  # noqa: PLW1509 - nothing else runs yet that holds a lock
        )
    try:
        wait_until(lambda: answers(f"{api_url}/health"), TIMEOUT_SECONDS)
        monkeypatch.setenv("PREFECT_API_URL", api_url)
        with temporary_settings({PREFECT_API_URL: api_url}):
            yield
            APILogWorker.drain_all(timeout=TIMEOUT_SECONDS)
    finally:
        server.terminate()
        server.wait(TIMEOUT_SECONDS)


def answers(url: str) -> bool:
    with suppress(urllib.error.URLError, ConnectionError), urllib.request.urlopen(url, timeout=2):
        return True
    return False


@pytest.fixture
def notified() -> Iterator[tuple[str, "Queue[str]"]]:
    """The address of something that takes notifications, and what it has taken."""
    taken: Queue[str] = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.put(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002 - its name there

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/", taken
        server.shutdown()


def test_a_solve_that_has_given_something_up_notifies(
    permanent_server: None, notified: tuple[str, "Queue[str]"], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, taken = notified
    site = Site(tmp_path / "site", monkeypatch)
    text = {"text": "{{subject}}: {{body}}"}
    block = CustomWebhookNotificationBlock(name="here", url=url, allow_private_urls=True, json_data=text)
    block_id = block.save("failed-solves")
    page = (ROOT / "deployments" / "README.md").read_text()
    described = re.search(r"```yaml\n(# failed-solves.yaml\n.*?)```", page, re.DOTALL)
    assert described is not None
    assert NO_BLOCK in described[1]
    file = tmp_path / "failed-solves.yaml"
    file.write_text(described[1].replace(NO_BLOCK, str(block_id)))
    prefect("automation", "create", "--from-file", str(file))
    site.add_models("ModelA")
    site.solve("good")
    site.solve("good", "own-error")
    said = taken.get(timeout=TIMEOUT_SECONDS)
    assert "A solve has failed: " in said
    assert "0 succeeded, 1 failed, 1 up to date" in said
    assert taken.empty()
