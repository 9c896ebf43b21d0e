"""Checks of a node for the doctor: functions that a pilot calls there. Arguments and results are text and numbers."""

import os
import platform
import socket
import sys
import time
import uuid
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

from climate_ref_prefect import __version__
from climate_ref_prefect.diagnostics.base_models import FrozenModel
from climate_ref_prefect.diagnostics.execution_definition import ProviderReference
from climate_ref_prefect.execution.host.cgroup_memory import memory_limit_mb
from climate_ref_prefect.execution.worker.provider_server_client import (
    ProviderCodeError,
    ProviderImportError,
    ProviderServer,
)

COORDINATORS_TOKEN: Final = "coordinator.token"  # noqa: S105 - a file, and nothing secret
NODES_TOKEN: Final = "node.token"  # noqa: S105 - the same
_ANSWER_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.1


class Node(FrozenModel):
    """The node on which a job runs, and its software."""

    host: str
    interpreter: str
    python: str
    """Version."""
    package: str
    """Version of this package."""
    dask: str
    """Version of distributed; empty if it is not installed."""
    cpu: int | None
    """Processors that the job may use; None if the system does not say."""
    memory_mb: float | None
    """Memory limit of the job's control group; None if there is no limit."""


class Exchange(FrozenModel):
    """Result of looking for the coordinator's token in a directory and leaving a token there."""

    found: str = ""
    left: str = ""
    error: str = ""


class ProviderCheck(FrozenModel):
    """Result of importing a provider."""

    seconds: float
    described: str = ""
    """The provider in a few words, if it could be imported."""
    failure: str = ""
    problems: tuple[str, ...] = ()
    """What keeps it from running anything there, although it could be imported."""


def describe_node() -> str:
    """Return where this process runs, as a `Node` in JSON."""
    return Node(
        host=socket.gethostname(),
        interpreter=sys.executable,
        python=platform.python_version(),
        package=__version__,
        dask=_version_of_dask(),
        cpu=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        memory_mb=memory_limit_mb(),
    ).model_dump_json()


def exchange_tokens(directory: str, timeout_seconds: float) -> str:
    """
    Look for the coordinator's token in a directory and leave one there; return an `Exchange` in JSON.

    Parameters
    ----------
    directory
        The directory, which the coordinator has made.
    timeout_seconds
        How long to wait for its token, because shared file systems show new files late.
    """
    path = Path(directory)
    token = uuid.uuid4().hex
    try:
        found = await_token(path / COORDINATORS_TOKEN, timeout_seconds)
        if found:
            (path / NODES_TOKEN).write_text(token, encoding="utf-8")
    except OSError as error:
        return Exchange(error=str(error)).model_dump_json()
    return Exchange(found=found, left=token if found else "").model_dump_json()


def import_provider(reference: str, deadline_seconds: float) -> str:
    """
    Import a provider as an execution would; return a `ProviderCheck` in JSON.

    Parameters
    ----------
    reference
        A `ProviderReference` in JSON.
    deadline_seconds
        How long the import may take.
    """
    began = time.monotonic()
    server = ProviderServer(ProviderReference.model_validate_json(reference))
    described = failure = ""
    problems: tuple[str, ...] = ()
    try:
        server.wait_until_ready(deadline_seconds)
        description = server.describe(_ANSWER_SECONDS)
        count = f" ({len(description.diagnostics)} diagnostics)" if description.diagnostics else ""
        described, problems = f"{description.slug} {description.version}{count}", description.problems
        failure = "; ".join(f"{description.slug}/{one.slug}: {one.message}" for one in description.faulty)
    except ProviderImportError as error:
        failure = _with_last_line(error.failure.message, error.failure.details)
    except ProviderCodeError as error:
        failure = _with_last_line(str(error).partition("\n")[0], str(error))
    finally:
        server.close()
    return ProviderCheck(
        seconds=time.monotonic() - began, described=described, failure=failure, problems=problems
    ).model_dump_json()


def await_token(path: Path, timeout_seconds: float) -> str:
    """Return the content of a file and wait for it to appear; empty if it does not appear in time."""
    give_up_at = time.monotonic() + timeout_seconds
    while True:
        try:
            if text := path.read_text(encoding="utf-8"):
                return text
        except FileNotFoundError:
            pass
        if time.monotonic() > give_up_at:
            return ""
        time.sleep(_POLL_SECONDS)


def _with_last_line(message: str, details: str) -> str:
    """Return the error and, if it differs, the last printed line, in one line."""
    message = " ".join(message.split())
    last = next((" ".join(line.split()) for line in reversed(details.splitlines()) if line.strip()), "")
    return message if last in message else f"{message} ({last})"


def _version_of_dask() -> str:
    try:
        # Dask is not imported here, because the worker of this package must not import it.
        return version("distributed")
    except PackageNotFoundError:
        return ""
