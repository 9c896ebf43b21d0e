"""Clients without a key are refused."""

import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from dask_jobqueue.slurm import SLURMCluster
from distributed import Client
from distributed.security import Security

from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.execution.claim import Claim
from climate_ref_prefect.transports.batch.dask.tls_keys import CommsKeys
from climate_ref_prefect.transports.batch.dask.worker_link import DaskLink

ARGUMENTS = {"cores": 1, "memory": "1GiB", "processes": 1, "scheduler_options": {"host": "127.0.0.1"}}


class Nobody:
    """Waits for no worker."""

    def on_worker_connected(self, name: str, address: str, age_seconds: float) -> None: ...

    def on_worker_disconnected(self, name: str, address: str) -> None: ...


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[CommsKeys]:
    with CommsKeys(tmp_path / "shared") as made:
        yield made


@pytest.fixture
def pilots(keys: CommsKeys) -> Iterator[DaskLink]:
    opened = DaskLink(SLURMCluster, dict(ARGUMENTS), range(1), keys, Nobody())
    yield opened
    opened.close()


def test_only_the_user_can_read_them_and_they_are_removed_at_the_end(tmp_path: Path) -> None:
    with CommsKeys(tmp_path / "shared") as keys:
        for path in (tmp_path / "shared", keys.directory):
            assert stat.S_IMODE(path.stat().st_mode) == 0o700
        private = {path.name: stat.S_IMODE(path.stat().st_mode) for path in keys.directory.glob("*.pem")}
    assert private == {"ca.pem": 0o600, "cert.pem": 0o600, "key.pem": 0o600}
    assert not list((tmp_path / "shared").iterdir())


def test_those_of_a_killed_coordinator_are_removed_by_the_next(tmp_path: Path) -> None:
    abandoned, used = CommsKeys(tmp_path), CommsKeys(tmp_path)
    dead = Claim.of_this_process().model_copy(update={"pid": 2**22 + 1})
    (abandoned.directory / "owner.json").write_text(dead.to_json())
    with CommsKeys(tmp_path):
        assert not abandoned.directory.exists()
        assert used.directory.exists()
    used.close()


def test_a_client_with_the_keys_is_accepted(pilots: DaskLink, keys: CommsKeys) -> None:
    assert pilots.address.startswith("tls://127.0.0.1:")
    with Client(pilots.address, security=keys.security, set_as_default=False, timeout=10) as client:
        assert client.scheduler_info()["workers"] == {}


def test_a_plain_client_is_refused(pilots: DaskLink) -> None:
    with pytest.raises(OSError, match=r"Timed out|reset"):
        Client(pilots.address.replace("tls://", "tcp://"), set_as_default=False, timeout=2)


def test_a_client_with_keys_of_its_own_making_is_refused(pilots: DaskLink) -> None:
    with pytest.raises(OSError, match=r"Timed out|certificate"):
        Client(pilots.address, security=Security.temporary(), set_as_default=False, timeout=2)


def test_an_occupied_port_is_reported(keys: CommsKeys) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(BadInputError, match=f"ports {port} to {port}"):
            DaskLink(SLURMCluster, dict(ARGUMENTS), range(port, port + 1), keys, Nobody())


def test_the_next_port_of_a_range_is_taken(keys: CommsKeys) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        pilots = DaskLink(SLURMCluster, dict(ARGUMENTS), range(port, port + 20), keys, Nobody())
    assert port < int(pilots.address.rpartition(":")[2]) < port + 20
    pilots.close()


def test_a_missing_interface_is_reported(keys: CommsKeys) -> None:
    arguments = {**ARGUMENTS, "scheduler_options": {"interface": "ib77"}}
    with pytest.raises(BadInputError, match=r"'ib77'.*'lo'"):
        DaskLink(SLURMCluster, arguments, range(1), keys, Nobody())
