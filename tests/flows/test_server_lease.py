"""Who may end the Prefect server of a state directory, and what becomes of its files when something goes wrong."""

import errno
import fcntl
import os
import resource
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from climate_ref_prefect.flows.server import server_lease
from climate_ref_prefect.flows.server.local_server import StartingServer
from climate_ref_prefect.flows.server.server_description import (
    ServerDescription,
    ServerError,
    describe,
    described,
    opened,
    password_of,
)
from climate_ref_prefect.flows.server.server_keeper import USERS, try_lock
from climate_ref_prefect.flows.server.server_lease import ServerRequest, lease_server
from climate_ref_prefect.testing.processes import wait_until

REQUEST = ServerRequest({}, lifetime_seconds=0.0)


@pytest.fixture
def stuck(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator["subprocess.Popen[bytes]"]:
    """A server that neither answers nor ends by itself."""
    monkeypatch.setattr(server_lease, "_END_SECONDS", 0.0)
    with opened(tmp_path / "server.lock") as running:
        fcntl.flock(running, fcntl.LOCK_EX)
        server = subprocess.Popen(["sleep", "3600"], pass_fds=[running.fileno()])
    describe_process(tmp_path, server.pid)
    with server:
        yield server
        server.kill()


def describe_process(directory: Path, pid: int) -> ServerDescription:
    return describe(directory, pid, 1, settings=REQUEST.settings, lifetime_seconds=0.0)


def can_be_locked_alone(directory: Path) -> bool:
    with opened(directory / USERS) as users:
        return try_lock(users, fcntl.LOCK_EX)


def descriptor_of(path: Path) -> int:
    """Return the descriptor by which this process has a file open."""
    (found,) = (int(one.name) for one in Path("/proc/self/fd").iterdir() if os.path.realpath(one) == str(path))
    return found


def test_the_last_user_of_a_server_that_does_not_end_kills_it(tmp_path: Path, stuck: "subprocess.Popen[bytes]") -> None:
    leases = [lease_server(tmp_path, REQUEST) for _ in range(2)]
    leases[0].release(is_usable=True)
    assert (stuck.poll(), described(tmp_path)) == (None, leases[1].description)
    leases[1].release(is_usable=True)
    assert (stuck.wait(60) < 0, described(tmp_path)) == (True, None)


@pytest.mark.slow
def test_a_server_whose_last_user_has_left_is_not_killed_while_another_one_uses_it(
    tmp_path: Path, stuck: "subprocess.Popen[bytes]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_lease, "_END_SECONDS", 5.0)
    lease = lease_server(tmp_path, REQUEST)
    leaving = threading.Thread(target=lease.release, kwargs={"is_usable": True})
    leaving.start()
    wait_until(lambda: described(tmp_path) is None)
    with opened(tmp_path / USERS) as users:
        wait_until(lambda: try_lock(users, fcntl.LOCK_SH))
        leaving.join()
        assert stuck.poll() is None


@pytest.mark.parametrize("other", ["user", "successor"])
def test_one_that_does_not_answer_is_ended_only_if_nothing_else_uses_it(
    tmp_path: Path, stuck: "subprocess.Popen[bytes]", other: str
) -> None:
    lease = lease_server(tmp_path, REQUEST)
    if other == "user":
        with closing(opened(tmp_path / USERS)) as users:
            fcntl.flock(users, fcntl.LOCK_SH)
            with pytest.raises(ServerError, match=rf"not ended because something else uses it.* process {stuck.pid} "):
                lease.release(is_usable=False)
            assert described(tmp_path) == lease.description
    else:
        successor = describe_process(tmp_path, os.getpid())
        lease.release(is_usable=False)
        assert described(tmp_path) == successor
    assert stuck.poll() is None


def test_a_process_that_was_forked_meanwhile_keeps_nothing_locked(
    tmp_path: Path, stuck: "subprocess.Popen[bytes]"
) -> None:
    lease = lease_server(tmp_path, REQUEST)
    shared = descriptor_of(tmp_path / USERS)
    with subprocess.Popen(["sleep", "3600"], pass_fds=[shared]) as child:  # It has the open file of its parent.
        try:
            lease.release(is_usable=True)
            assert can_be_locked_alone(tmp_path)
        finally:
            child.kill()
    assert stuck.wait(60) < 0


def test_a_process_that_was_forked_meanwhile_does_not_end_the_use_of_its_parent(
    tmp_path: Path, stuck: "subprocess.Popen[bytes]"
) -> None:
    lease = lease_server(tmp_path, REQUEST)
    if (child := os.fork()) == 0:
        try:
            lease.release(is_usable=True)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert (stuck.poll(), described(tmp_path)) == (None, lease.description)
    assert not can_be_locked_alone(tmp_path)
    lease.release(is_usable=True)


def test_a_password_is_made_once_and_anew_if_it_is_not_whole(tmp_path: Path) -> None:
    first = password_of(tmp_path)
    assert password_of(tmp_path) == first
    file = tmp_path / "password"
    for broken in (b"", first[:10].encode(), b"\0" * 44):
        file.write_bytes(broken)
        made = password_of(tmp_path)
        assert (len(made), made != first, password_of(tmp_path)) == (len(first), True, made)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["password"]


def test_a_password_that_others_may_know_is_refused(tmp_path: Path) -> None:
    password_of(tmp_path)
    (tmp_path / "password").chmod(0o640)
    with pytest.raises(ServerError, match=r"password has the mode 0640 .* Remove the file"):
        password_of(tmp_path)


def test_a_full_disk_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))  # Nothing can be written to a file.
    try:
        with pytest.raises(ServerError, match=r"make room") as raised:
            StartingServer(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert isinstance(raised.value.__cause__, OSError)
    assert raised.value.__cause__.errno == errno.EFBIG


def test_a_parent_that_does_not_start_is_an_error_that_names_the_log(tmp_path: Path) -> None:
    request = ServerRequest({**os.environ, "PYTHONHOME": str(tmp_path)}, lifetime_seconds=0.0)
    with pytest.raises(ServerError, match=r"ended with exit code 1. Its log says why: .*server\.log"):
        lease_server(tmp_path, request)
    assert can_be_locked_alone(tmp_path)
