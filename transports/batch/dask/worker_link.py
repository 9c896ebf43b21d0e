"""The connection to Dask workers in batch jobs: reports when they connect and disconnect, and gives them executions."""

import itertools
import logging
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import dask
from distributed import Client, Future, Scheduler
from distributed.diagnostics.plugin import SchedulerPlugin
from distributed.utils import get_ip_interface

from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.execution.outcome import ExecutionOutcome
from climate_ref_prefect.execution.worker.active_executions import cancel_active, execute_active
from climate_ref_prefect.transports.batch.dask.dask_jobqueue_import import JobQueueCluster
from climate_ref_prefect.transports.batch.dask.tls_keys import CommsKeys
from climate_ref_prefect.transports.batch.pool.worker_link_port import Listener

AGE: Final = "job_age_seconds"
"""What a pilot reports about its job when it connects."""
_CONFIGURATION: Final = {
    "distributed.scheduler.allowed-failures": 0,  # Otherwise Dask would silently run the task of a killed worker again.
    "distributed.scheduler.work-stealing": False,
    "distributed.scheduler.worker-saturation": 1.0,
    "distributed.admin.log-format": "%(message)s",
}
Value = TypeVar("Value")
_CALLS_AT_ONCE: Final = 4
_RESULTS_AT_ONCE: Final = 16
_RESULT_SECONDS: Final = 30.0
_keys: Final = itertools.count()


class _ToldByThePool(logging.Filter):
    """Keeps Dask from logging each lost job as an error. The pool reports lost jobs with the scheduler's message."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not any(words in str(record.msg) for words in ("marked as failed because", "Couldn't gather"))


_FILTER: Final = _ToldByThePool()


class _Watch(SchedulerPlugin):
    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._names: dict[str, str] = {}

    def add_worker(self, scheduler: Scheduler, worker: str) -> None:
        state = scheduler.workers[worker]
        self._names[worker] = str(state.name)
        self._listener.on_worker_connected(str(state.name), worker, float(state.extra.get(AGE, 0.0)))

    def remove_worker(self, scheduler: Scheduler, worker: str, **_: Any) -> None:
        self._listener.on_worker_disconnected(self._names.pop(worker, ""), worker)


class DaskLink:
    """
    A Dask scheduler in this process, for the workers of one pool.

    Parameters
    ----------
    cluster_class
        dask-jobqueue's, for the scheduler of this site.
    arguments
        Its arguments; `scheduler_options` without the port.
    ports
        Ports to listen on; the first free one is used.
    keys
        Keys for TLS; None for connections that are open to everyone on the network.
    listener
        Is called when workers connect and disconnect.
    """

    def __init__(
        self,
        cluster_class: type[JobQueueCluster],
        arguments: dict[str, Any],
        ports: range,
        keys: CommsKeys | None,
        listener: Listener,
    ) -> None:
        self._security = keys.security if keys else None
        _quieten_dask()
        with dask.config.set(_CONFIGURATION):
            self._cluster = self._listen(cluster_class, arguments, ports)
            self._scheduler = cast("Scheduler", self._cluster.scheduler)
            self._scheduler.add_plugin(_Watch(listener))
            self._client = Client(self._cluster, set_as_default=False)
        self._calls = ThreadPoolExecutor(_CALLS_AT_ONCE, thread_name_prefix="call-pilot")
        self._results = ThreadPoolExecutor(_RESULTS_AT_ONCE, thread_name_prefix="fetch-result")

    @property
    def address(self) -> str:
        """The address at which pilots reach the coordinator."""
        return str(self._scheduler.contact_address or self._scheduler.address)

    def run(self, address: str, directory: Path, then: Callable[[ExecutionOutcome | Exception], None]) -> None:
        """Have a pilot run an execution. `then` is called in any thread with its outcome, or with the error."""
        future = self.call(address, execute_active, str(directory))
        future.add_done_callback(lambda _: self._fetch(future, then))

    def call(self, address: str, function: Callable[..., Value], *arguments: object) -> "Future[Value]":
        """Have a pilot call a function of a module that it can import as well."""
        return self._client.submit(
            function,
            *arguments,
            key=f"{function.__name__}-{next(_keys)}",
            workers=[address],
            allow_other_workers=False,
            retries=0,
            pure=False,
        )

    def cancel(self, address: str, directory: Path) -> None:
        """Have a pilot stop an execution; returns at once."""
        self._call(lambda: self._client.run(cancel_active, str(directory), workers=[address], on_error="ignore"))

    def retire(self, address: str) -> None:
        """Have an idle pilot exit; returns at once."""
        # Dask's own retirement would keep a worker for ever if no other worker can take over its last result.
        remove = self._scheduler.remove_worker
        self._call(lambda: self._cluster.sync(remove, address, stimulus_id="retire", expected=True))

    def close(self) -> None:
        """Stop listening. Pilots that are still connected exit by themselves."""
        self._calls.shutdown(wait=False, cancel_futures=True)
        self._results.shutdown(wait=False, cancel_futures=True)
        self._client.close(timeout=2)
        self._cluster.close(timeout=5)

    def _fetch(self, future: "Future[str]", then: Callable[[ExecutionOutcome | Exception], None]) -> None:
        """Fetch a result in a thread of its own, because waiting for a lost worker must not delay other results."""

        def fetch() -> None:
            try:
                answer: ExecutionOutcome | Exception = ExecutionOutcome.from_json(future.result(_RESULT_SECONDS))
            except Exception as error:  # noqa: BLE001 - whoever waits is told
                answer = error
            future.release()
            then(answer)

        with suppress(RuntimeError):  # it is closed
            self._results.submit(fetch)

    def _call(self, call: Callable[[], object]) -> None:
        def guarded() -> None:
            with suppress(Exception):  # The worker has disconnected meanwhile, which is reported separately.
                call()

        self._calls.submit(guarded)

    def _listen(self, cluster_class: type[JobQueueCluster], arguments: dict[str, Any], ports: range) -> JobQueueCluster:
        # Dask's dashboard is not protected by TLS.
        options = {**arguments["scheduler_options"], "dashboard": False, "dashboard_address": "127.0.0.1:0"}
        port = _free_port(ports, options.get("host"), options.get("interface"))
        return cluster_class(
            **{**arguments, "scheduler_options": {**options, "port": port}},
            security=self._security,
            protocol="tls://" if self._security else "tcp://",
        )


def _quieten_dask() -> None:
    """Keep out of the log the tracebacks that Dask prints for workers that connect and disconnect normally."""
    log = logging.getLogger("distributed")
    if log.level == logging.INFO:  # Dask's default level; a level that the user has set is kept.
        log.setLevel(logging.ERROR)
    for name in ("distributed.scheduler", "distributed.client"):
        logging.getLogger(name).addFilter(_FILTER)


def _free_port(ports: range, host: str | None, interface: str | None) -> int:
    """Return the first free port. A Dask scheduler that tried a port in vain would leave its event loop behind."""
    refused: OSError | None = None
    try:
        address = host or (get_ip_interface(interface) if interface else "")
    except ValueError as error:
        raise BadInputError(f"The setting `interface` names no network interface of this machine: {error}") from error
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError as error:
                refused = error
            else:
                return port
    raise BadInputError(
        f"The coordinator cannot listen on {address or 'this host'}, ports {ports.start} to {ports.stop - 1}: "
        f"{refused}. Choose other `ports`, or another `host` or `interface`."
    ) from refused
