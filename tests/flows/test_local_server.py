"""The start of a state directory's own Prefect server: how long it is waited for, and at which priority it runs."""

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from climate_ref_prefect.execution.host.process_tree import descendants
from climate_ref_prefect.flows.server.local_server import StartingServer, local_server
from climate_ref_prefect.flows.server.server_description import ServerDescription, ServerError, running_server
from climate_ref_prefect.testing.processes import wait_until

pytestmark = pytest.mark.slow
OWN = os.getpriority(os.PRIO_PROCESS, 0)
LOWERED = max(OWN, 10)


def server_of(home: Path) -> ServerDescription:
    """Return the server that runs for a state directory."""
    found = running_server(home / "prefect")
    assert found is not None
    return found


def priorities(home: Path) -> set[int]:
    """Return the priorities of all threads of the server and of its parent."""
    pid = server_of(home).pid
    threads = [int(path.name) for one in (pid, *descendants(pid)) for path in Path(f"/proc/{one}/task").iterdir()]
    found = set()
    for thread in threads:
        with suppress(ProcessLookupError):  # It has just ended.
            found.add(os.getpriority(os.PRIO_PROCESS, thread))
    return found


def test_its_priority_is_lowered_once_it_answers(tmp_path: Path) -> None:
    at_first: list[set[int]] = []
    with local_server(tmp_path, meanwhile=lambda: at_first.append(priorities(tmp_path))):
        assert priorities(tmp_path) == {LOWERED}
    assert at_first == [{OWN}]
    assert running_server(tmp_path / "prefect") is None


def test_one_that_makes_no_progress_is_given_up_and_its_log_is_named(tmp_path: Path) -> None:
    starting = StartingServer(tmp_path, stalled_seconds=1.0, lifetime_seconds=300.0)
    try:
        pid = server_of(tmp_path).pid
        (server,) = wait_until(lambda: descendants(pid))
        os.kill(server, signal.SIGSTOP)
        with pytest.raises(ServerError, match=r"does not answer. Its log: .*server\.log"), starting.answering():
            pass
    finally:
        starting.stop()
    assert running_server(tmp_path / "prefect") is None


def test_one_that_ends_is_not_waited_for(tmp_path: Path) -> None:
    starting = StartingServer(tmp_path)
    try:
        os.kill(server_of(tmp_path).pid, signal.SIGKILL)
        with pytest.raises(ServerError, match=r"has ended. Its log: .*server\.log"), starting.answering():
            pass
    finally:
        starting.stop()
