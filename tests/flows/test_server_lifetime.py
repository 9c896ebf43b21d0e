"""A Prefect server that stays for the next solve: there is one at most, it has a password, and it ends by itself."""

import base64
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from climate_ref_prefect.execution.host.process_tree import descendants
from climate_ref_prefect.flows.server.local_server import LocalServer, StartingServer, local_server
from climate_ref_prefect.flows.server.server_description import ServerDescription, ServerError, running_server
from climate_ref_prefect.flows.server.server_lease import stop_server
from climate_ref_prefect.testing.processes import Process, started_here, wait_until
from tests.flows.coordinator_processes import COMMAND, run_command

pytestmark = pytest.mark.slow
LONG = 3600.0
_START_SECONDS = 300.0
_COORDINATOR = """
import fcntl, signal, sys
from pathlib import Path
from climate_ref_prefect.flows.server.local_server import local_server
signal.signal(signal.SIGINT, signal.default_int_handler)
own = open(sys.argv[2], "w")
fcntl.flock(own, fcntl.LOCK_EX)
with local_server(Path(sys.argv[1]), lifetime_seconds=3600.0):
    print("answers", flush=True)
    signal.pause()
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A state directory, whose server is ended with the test."""
    yield tmp_path
    stop_server(tmp_path / "prefect")


def found(home: Path) -> ServerDescription:
    server = running_server(home / "prefect")
    assert server is not None
    return server


def status_of(server: LocalServer, password: str | None) -> int:
    """Return what the API answers to somebody with this password."""
    request = urllib.request.Request(f"{server.api_url}/admin/version")
    if password is not None:
        request.add_header("Authorization", f"Basic {base64.b64encode(password.encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_it_stays_for_the_next_and_is_used_by_it_until_it_is_stopped(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with local_server(home, lifetime_seconds=LONG):
        first = found(home)
    with local_server(home):
        assert found(home) == first
    monkeypatch.setenv("CLIMATE_REF_PREFECT_HOME", str(home))
    stopped = run_command("server", "--stop")
    assert (stopped.code, str(first.port) in stopped.output) == (0, True), stopped.errors
    assert running_server(home / "prefect") is None
    assert "No Prefect server" in run_command("server", "--stop").output


def test_it_ends_by_itself_once_nothing_has_used_it_for_its_lifetime(home: Path) -> None:
    with local_server(home, lifetime_seconds=1.0):
        process = Process(found(home).pid, found(home).process_started)
    wait_until(lambda: not process.alive)
    wait_until(lambda: running_server(home / "prefect") is None)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_it_survives_what_ends_the_coordinator_and_holds_nothing_of_it(home: Path, number: signal.Signals) -> None:
    lock = home / "of-the-coordinator"
    with subprocess.Popen(
        [sys.executable, "-c", _COORDINATOR, str(home), str(lock)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as coordinator:
        assert coordinator.stdout is not None
        assert coordinator.stdout.readline() == b"answers\n"
        os.killpg(coordinator.pid, number)
        coordinator.wait(_START_SECONDS)
    server = found(home)
    for process in (server.pid, *descendants(server.pid)):
        open_files = {str(path.readlink()) for path in Path(f"/proc/{process}/fd").iterdir()}
        assert str(lock) not in open_files
    with local_server(home):
        assert found(home) == server


@pytest.mark.parametrize("killed", ["parent", "server"])
def test_the_next_solve_goes_on_after_any_part_of_it_was_killed(home: Path, killed: str) -> None:
    with local_server(home, lifetime_seconds=LONG):
        before = found(home)
        (server,) = descendants(before.pid)
    os.kill(before.pid if killed == "parent" else server, signal.SIGKILL)
    with local_server(home):
        assert found(home).pid != before.pid


def test_one_of_another_version_or_with_other_settings_is_replaced(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with local_server(home, lifetime_seconds=LONG):
        first = found(home)
    description = home / "prefect" / "server.json"
    older = first.model_copy(update={"versions": "Prefect 3.0.0, climate-ref-prefect 0.0.1"})
    description.write_text(older.model_dump_json(), encoding="utf-8")
    with local_server(home, lifetime_seconds=LONG):
        second = found(home)
        assert second.pid != first.pid
        with monkeypatch.context() as other:
            other.setenv("PREFECT_SERVER_LOGGING_LEVEL", "ERROR")
            with pytest.raises(ServerError, match=f"process {second.pid} .* cannot have another server beside it"):
                StartingServer(home, wait_seconds=1.0)
        assert found(home) == second
    monkeypatch.setenv("PREFECT_SERVER_LOGGING_LEVEL", "ERROR")
    with local_server(home):
        assert found(home).pid != second.pid


def test_two_that_begin_at_once_share_one_and_the_first_to_end_leaves_it_to_the_other(home: Path) -> None:
    before, used, both, release = started_here(), list[int](), threading.Barrier(3, timeout=_START_SECONDS), list[int]()

    def use() -> None:
        with local_server(home) as server:
            used.append(found(home).pid)
            both.wait()
            both.wait()
            release.append(status_of(server, server.variables["PREFECT_API_AUTH_STRING"]))

    threads = [threading.Thread(target=use) for _ in range(2)]
    for thread in threads:
        thread.start()
    both.wait()
    assert len(set(used)) == 1
    servers = [process for process in started_here() - before if "prefect server start" in process.command]
    assert len(servers) == 1
    both.wait()
    for thread in threads:
        thread.join()
    assert release == [200, 200]
    assert running_server(home / "prefect") is None


def test_one_that_is_ending_is_not_used_any_more(home: Path) -> None:
    first = StartingServer(home)
    with first.answering():
        before = found(home)
        (server,) = descendants(before.pid)
    os.kill(server, signal.SIGSTOP)  # It takes its time to end.
    ending = threading.Thread(target=first.stop)
    ending.start()
    with local_server(home):
        assert found(home).pid != before.pid
    ending.join()


def test_it_has_a_password_that_others_cannot_see(home: Path) -> None:
    with local_server(home) as server:
        password = server.variables["PREFECT_API_AUTH_STRING"]
        assert [status_of(server, one) for one in (None, "guessed", password)] == [401, 401, 200]
        parent = found(home).pid
        for process in (parent, *descendants(parent)):
            assert password.encode() not in Path(f"/proc/{process}/cmdline").read_bytes()
    file = home / "prefect" / "password"
    assert file.read_text(encoding="ascii").strip() == password
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert password not in (home / "prefect" / "server.log").read_text(encoding="utf-8")


@pytest.mark.parametrize(("password", "without_it"), [(None, 200), ("theirs", 401)])
def test_one_that_a_person_has_started_is_used_and_stays_with_their_password(
    home: Path, monkeypatch: pytest.MonkeyPatch, password: str | None, without_it: int
) -> None:
    monkeypatch.setenv("CLIMATE_REF_PREFECT_HOME", str(home))
    if password is not None:
        monkeypatch.setenv("PREFECT_SERVER_API_AUTH_STRING", password)
    command = [sys.executable, *COMMAND, "server", "--port", str(free_port())]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as person:
        try:
            wait_until(lambda: running_server(home / "prefect"), _START_SECONDS)
            with local_server(home) as server:
                assert found(home).pid == person.pid
                assert [status_of(server, one) for one in (None, password)] == [without_it, 200]
            assert person.poll() is None
            with pytest.raises(ServerError, match=r"A person has started .* by Ctrl-C"):
                stop_server(home / "prefect")
        finally:
            person.terminate()
            person.wait(_START_SECONDS)
    wait_until(lambda: running_server(home / "prefect") is None)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
