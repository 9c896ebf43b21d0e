"""
The provider server: a process that has imported a provider and forks a supervisor for each execution.

Its client starts it as `python -m climate_ref_prefect.execution.worker.provider_server TARGET ISOLATION DESCRIPTOR`.
It reports on its control socket whether the import succeeded and whether it may be forked. Then it accepts requests:
one byte that names the request, together with the descriptor of a socket for the rest of the request and for the
answer. The server ends when its control socket is closed.
"""

import fcntl
import gc
import json
import os
import signal
import socket
import sys
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from pydantic import JsonValue, ValidationError

from climate_ref_prefect.diagnostics.declaration_errors import declaration_error
from climate_ref_prefect.diagnostics.errors import ClimateRefPrefectError, DiagnosticError
from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition, ProviderReference
from climate_ref_prefect.diagnostics.provider import DiagnosticProvider, load_provider
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.execution.host.process_tree import become_subreaper, children, end_tree, is_stopped
from climate_ref_prefect.execution.host.python_search_path import adopt_search_path
from climate_ref_prefect.execution.worker.child_process import ForkedStart, FreshStart, Start, import_failure
from climate_ref_prefect.execution.worker.failure_mapping import failure_from_exception, process_limit_message
from climate_ref_prefect.execution.worker.file_descriptors import close_ours, move_away, our_socket, replace_providers
from climate_ref_prefect.execution.worker.fork_safety import ForkSafety
from climate_ref_prefect.execution.worker.log_streams import write_utf8
from climate_ref_prefect.execution.worker.provider_server_protocol import (
    DESCRIBE,
    EXECUTE,
    Ready,
    read_line,
    read_to_end,
    wait_for_input,
)
from climate_ref_prefect.execution.worker.size_request import read_size_request
from climate_ref_prefect.execution.worker.supervisor_process import refuse, refuse_unreadable, supervise

_LOOK_SECONDS: Final = 1.0
_STOPPED_LOOKS: Final = 5
"""How many times in a row a supervisor must be found stopped before it counts as one that will not continue."""


class Server:
    """Answers the requests of one caller for one provider."""

    def __init__(self, control: socket.socket, imported: "Imported | None", environment: Mapping[str, str]) -> None:
        self._control = control
        self._imported = imported
        self._environment = environment
        self._supervisors: set[int] = set()
        self._providers_own = set(children(os.getpid()))
        self._wake_reading, self._wake_writing = (move_away(end) for end in os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC))

    def serve(self) -> None:
        """Answer requests until the caller is gone. Then make sure that the supervisors have noticed it, too."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_writing)
        control = self._control.fileno()
        while True:
            readable = wait_for_input([control, self._wake_reading])
            if self._wake_reading in readable:
                self._hear_of_ends()
            if control in readable and not self._take_request():
                break
        _kill(set(children(os.getpid())) - self._supervisors)  # Processes that the import has started.
        self._see_out()

    def _see_out(self) -> None:
        """
        Wait until the supervisors have ended, and kill those that have been stopped for some seconds.

        A running supervisor notices that its caller is gone. A stopped one would keep its processes for ever.
        """
        looks: dict[int, int] = {}
        while self._supervisors:
            if wait_for_input([self._wake_reading], _LOOK_SECONDS):
                self._hear_of_ends()
            for pid in self._supervisors:
                looks[pid] = looks.get(pid, 0) + 1 if is_stopped(pid) else 0
                if looks[pid] >= _STOPPED_LOOKS:
                    end_tree(pid, _LOOK_SECONDS)

    def _hear_of_ends(self) -> None:
        os.read(self._wake_reading, 1 << 12)
        self._reap()

    def _take_request(self) -> bool:
        request, descriptors, _, _ = socket.recv_fds(self._control, 1, 1)
        if not request:
            return False
        with our_socket(descriptors[0]) as conversation:
            if request == EXECUTE:
                self._fork_supervisor(conversation)
            else:
                self._answer(request, conversation)
        return True

    def _answer(self, request: bytes, conversation: socket.socket) -> None:
        asked = read_to_end(conversation)
        assert self._imported is not None  # noqa: S101 - only warm servers are asked
        try:
            with _ending_with(self._control):
                said = self._imported.describe() if request == DESCRIBE else self._imported.size(asked)
            answer = {"value": said}
        except (Exception, SystemExit) as error:  # noqa: BLE001 - it is the provider's code: its error is the answer
            answer = {"failure": _failure_of(error)}
        obstacles = self._imported.look_for_obstacles(self._supervisors)
        with suppress(BrokenPipeError):  # The caller is gone and does not need the answer.
            conversation.sendall(json.dumps({**answer, "obstacles": obstacles}).encode())

    def _fork_supervisor(self, conversation: socket.socket) -> None:
        forked = self._imported.start() if self._imported else None
        try:
            pid = os.fork()
        except OSError as error:
            _refuse(conversation, error)
            return
        if pid:
            self._supervisors.add(pid)
            return
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for ours in (self._control.detach(), self._wake_reading, self._wake_writing):
            close_ours(ours)
        if forked is None:
            replace_providers()
        try:
            with suppress(OSError):  # The caller is gone and does not need the pid.
                conversation.sendall(f"{os.getpid()}\n".encode())
            _supervise_and_report(conversation, forked or FreshStart(self._environment))
        finally:
            os._exit(0)

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while ended := os.waitpid(-1, os.WNOHANG)[0]:
                self._supervisors.discard(ended)
        # A process without a supervisor lost it to a kill. Its own children follow it here when it ends.
        _kill(set(children(os.getpid())) - self._supervisors - self._providers_own)


class Imported:
    """A provider that has been imported and warmed up in this process."""

    def __init__(self, provider: DiagnosticProvider, safety: ForkSafety) -> None:
        self._provider = provider
        self._safety = safety
        self._obstacles: tuple[str, ...] = ()

    def look_for_obstacles(self, supervisors: Collection[int] = ()) -> tuple[str, ...]:
        """
        Return the reasons why this process must not be forked, unless the provider itself declares that.

        Call this whenever code of the provider has run. `supervisors` are the processes that the provider did not
        start.
        """
        self._obstacles = self._safety.obstacles(supervisors)
        return self._obstacles if self._provider.isolation == "warm" else ()

    def start(self) -> ForkedStart | None:
        """Return how a child is forked; None if this process must not be forked."""
        inheritance = self._safety.inheritance()
        if self._obstacles or inheritance.shared:
            return None
        return ForkedStart(self._provider, inheritance)

    def describe(self) -> JsonValue:
        """Return what the provider declares."""
        return self._provider.describe().model_dump(mode="json")

    def size(self, asked: bytes) -> JsonValue:
        """Return the resources that each definition needs, or why asking its diagnostic failed."""
        return [self._size_of(definition) for definition in read_size_request(asked)]

    def _size_of(self, definition: ExecutionDefinition) -> JsonValue:
        try:
            hint: object = self._provider.diagnostic(definition.diagnostic).resources_for(definition)
            if not isinstance(hint, ResourceHint):
                raise DiagnosticError(f"resources_for returned {hint!r}, and must return a ResourceHint")  # noqa: TRY301
            return {"hint": hint.model_dump(mode="json")}
        except (Exception, SystemExit) as error:  # noqa: BLE001 - it is this group's trouble alone
            return {"failure": _failure_of(error)}


def _failure_of(error: BaseException) -> JsonValue:
    failure = failure_from_exception(error)
    if isinstance(error, ValidationError):
        failure = failure.model_copy(update={"message": declaration_error(error)})
    return failure.model_copy(update={"kind": FailureKind.PROVIDER_IMPORT}).model_dump(mode="json")


def _refuse(conversation: socket.socket, error: OSError) -> None:
    """Answer that no supervisor could be started. The execution has not been claimed."""
    directory = ExecutionDirectory(Path(read_line(conversation)))
    try:
        outcome = refuse(directory.read_envelope(), FailureKind.UNAVAILABLE, process_limit_message(error))
    except (OSError, ValueError, ClimateRefPrefectError) as unreadable:
        outcome = refuse_unreadable(unreadable)
    with suppress(OSError):  # The caller is gone and does not need the answer.
        conversation.sendall(f"\n{outcome.to_json()}".encode())


def _supervise_and_report(conversation: socket.socket, start: Start) -> None:
    directory = ExecutionDirectory(Path(read_line(conversation)))
    try:
        outcome = supervise(directory, conversation, start)
    except (OSError, ValueError, ClimateRefPrefectError) as error:
        outcome = refuse_unreadable(error)
    with suppress(OSError):  # The caller is gone and will find the file.
        conversation.sendall(outcome.to_json().encode())
        # A thread that a file system blocks keeps this process alive, and its end of the socket with it.
        conversation.shutdown(socket.SHUT_RDWR)


def _kill(orphans: Iterable[int]) -> None:
    """Kill the processes that a killed supervisor left behind."""
    for pid in orphans:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@contextmanager
def _ending_with(control: socket.socket) -> Iterator[None]:
    """Have the kernel end this process by SIGIO when its caller ends, because a hanging provider would not notice."""
    flags = fcntl.fcntl(control, fcntl.F_GETFL)
    fcntl.fcntl(control, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(control, fcntl.F_SETFL, flags | os.O_ASYNC)
    if wait_for_input([control.fileno()], 0):  # The caller sends nothing before it has this answer.
        os._exit(1)
    try:
        yield
    finally:
        fcntl.fcntl(control, fcntl.F_SETFL, flags)


def main(target: str, isolation: str, descriptor: str) -> None:
    """Import the provider, report whether that succeeded, and answer requests."""
    # `isolation="fresh"` exists for providers whose threads make forking unsafe. A warning per execution is of no use.
    warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)
    os.umask(0o027)
    # New interpreters use it as well, because they take over the search path of this one.
    environment = dict(os.environ)
    adopt_search_path()
    write_utf8()
    become_subreaper()
    with our_socket(int(descriptor)) as control:
        ready, imported = _import(target, control) if isolation == "warm" else (Ready(), None)
        gc.freeze()  # The garbage collector must not touch, and so copy, the memory pages that children share.
        control.sendall(ready.model_dump_json().encode() + b"\n")
        if ready.failure is None:
            Server(control, imported, environment).serve()


def _import(target: str, control: socket.socket) -> tuple[Ready, Imported | None]:
    safety = ForkSafety()
    try:
        with _ending_with(control):
            provider = load_provider(ProviderReference(target=target))
            provider.warm_up()
    except BaseException as error:  # noqa: BLE001 - whatever an import raises, the provider cannot be used
        return Ready(failure=import_failure(target, error)), None
    imported = Imported(provider, safety)
    return Ready(obstacles=imported.look_for_obstacles()), imported


if __name__ == "__main__":
    main(*sys.argv[1:])
    os._exit(0)  # No thread and no exit handler of the provider may keep the server alive.
