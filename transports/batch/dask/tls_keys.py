"""Temporary TLS keys for Dask's connections, in a private directory that the nodes see, for one open transport."""

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from distributed.security import Security

from climate_ref_prefect.diagnostics.errors import SchemaMismatchError
from climate_ref_prefect.execution.claim import Claim

_PREFIX: Final = "comms-"
_OWNER: Final = "owner.json"
_NAMES: Final = {"tls_ca_file": "ca.pem", "tls_worker_cert": "cert.pem", "tls_worker_key": "key.pem"}


class CommsKeys:
    """
    A certificate that signs itself, known to the coordinator and its workers alone.

    Parameters
    ----------
    shared
        A directory that coordinator and nodes see, and only the user can read. The keys that killed coordinators
        have left there are removed.
    """

    def __init__(self, shared: Path) -> None:
        shared.mkdir(mode=0o700, parents=True, exist_ok=True)
        remove_abandoned(shared)
        self.directory = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=shared))
        """Readable by the user alone."""
        (self.directory / _OWNER).write_text(Claim.of_this_process().to_json(), encoding="utf-8")
        made = Security.temporary()
        for role in ("scheduler", "client"):  # the coordinator keeps its own in memory
            assert getattr(made, f"tls_{role}_key")  # noqa: S101 - a temporary one has all of them
        for attribute, name in _NAMES.items():
            path = self.directory / name
            path.touch(mode=0o600)
            path.write_text(getattr(made, attribute), encoding="utf-8")
        self.security = Security(
            **{
                attribute: str(self.directory / _NAMES[_as_of_worker(attribute)])
                for attribute in ("tls_ca_file", *_keys_of("scheduler"), *_keys_of("client"), *_keys_of("worker"))
            },
            require_encryption=True,
        )
        """For scheduler, client and workers alike."""

    def close(self) -> None:
        """Remove the keys."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _keys_of(role: str) -> tuple[str, str]:
    return f"tls_{role}_cert", f"tls_{role}_key"


def _as_of_worker(attribute: str) -> str:
    return attribute if attribute == "tls_ca_file" else "tls_worker_" + attribute.rpartition("_")[2]


def remove_abandoned(shared: Path) -> None:
    """Remove the keys of coordinators of this host that were killed."""
    for owner in shared.glob(f"{_PREFIX}*/{_OWNER}"):
        # Another coordinator may remove it at the same time, or it is one of another version.
        with suppress(OSError, ValueError, SchemaMismatchError):
            claim = Claim.from_json(owner.read_text(encoding="utf-8"))
            if claim.is_of_this_host() and not claim.is_alive_here():
                shutil.rmtree(owner.parent)
