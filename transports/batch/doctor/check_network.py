"""Check that pilots reach the coordinator, and that clients without a key do not."""

import asyncio
from collections.abc import Iterator
from enum import Enum
from typing import Final

from distributed.comm.core import CommClosedError, connect

from climate_ref_prefect.transports.batch.doctor.trial_job import TrialJob
from climate_ref_prefect.transports.doctor_finding import Finding, note, ok, skipped, wrong

_CONNECT_SECONDS: Final = 3.0
_ANSWER_SECONDS: Final = 6.0
LISTEN_REMEDY: Final = (
    "set `interface` or `host` so that the coordinator listens where nodes can reach it, and `ports` to what no "
    "firewall between them closes."
)


class ConnectionResult(Enum):
    """How the coordinator treats a client without a key."""

    LET_IN = 1
    REFUSED = 2
    NOBODY = 3


def check_tls(trial: TrialJob) -> Iterator[Finding]:
    """Check who can connect to the coordinator."""
    if trial.transport.tls and trial.pilot:
        yield ok(f"TLS: the pilot has connected with its key, and listens at {trial.pilot}.")
    elif trial.transport.tls:
        yield skipped("TLS with the pilot", "it has not connected")
    yield _judge_welcome(_try_without_key(trial.address), trial.address, tls=trial.transport.tls)


def _judge_welcome(welcome: ConnectionResult, address: str, *, tls: bool) -> Finding:
    """Return the finding for the way in which a client without a key was treated."""
    if welcome is ConnectionResult.NOBODY:
        return wrong(f"The coordinator cannot be reached even from its own host, at {address}.", LISTEN_REMEDY)
    if welcome is ConnectionResult.REFUSED:
        return ok(f"A client without a key is refused at {address}.")
    if tls:
        return wrong(f"A client without a key is accepted at {address} in spite of TLS.", "report this as a bug.")
    return note(
        f"Without TLS, as the profile says, everybody who can reach {address} on the network can run programs as you. "
        "`tls: true` puts an end to that."
    )


def _try_without_key(address: str) -> ConnectionResult:
    """Connect as Dask does without keys."""
    return asyncio.run(_connect(f"tcp://{address.partition('://')[2]}"))


async def _connect(address: str) -> ConnectionResult:
    try:
        comm = await asyncio.wait_for(connect(address, timeout=_CONNECT_SECONDS), _ANSWER_SECONDS)
    except CommClosedError:
        return ConnectionResult.REFUSED
    except (OSError, TimeoutError):
        return ConnectionResult.NOBODY
    comm.abort()
    return ConnectionResult.LET_IN
