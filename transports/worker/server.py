"""
The warm server of a provider: a process of its own that has imported it and forks supervisors.

Started as `python -m climate_ref_prefect.transports.worker.server TARGET ISOLATION DESCRIPTOR`. It says on its
control socket whether the import went well, then takes requests: one byte that names the request, and with it
the descriptor of a socket for what the request says and for its answer. It ends with its control socket.
"""

import fcntl
import gc
import json
import os
import select
import signal
import socket
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from climate_ref_prefect.diagnostics.definition import ExecutionDefinition, ProviderReference
from climate_ref_prefect.diagnostics.errors import ClimateRefPrefectError
from climate_ref_prefect.diagnostics.provider import DiagnosticProvider, load_provider
from climate_ref_prefect.transports.worker.child import import_failure
from climate_ref_prefect.transports.worker.directory import ExecutionDirectory
from climate_ref_prefect.transports.worker.process_tree import become_subreaper, children
from climate_ref_prefect.transports.worker.supervisor import refuse_unreadable, supervise
from climate_ref_prefect.transports.worker.verdict import judge_exception
from climate_ref_prefect.transports.worker.wire import DESCRIBE, EXECUTE, read_line, read_to_end


class Server:
    """Answers requests of one caller for one provider."""

    def __init__(self, control: socket.socket, provider: DiagnosticProvider | None) -> None:
        self._control = control
        self._provider = provider
        self._supervisors: set[int] = set()
        self._providers_own = set(children(os.getpid()))
        self._wake_reading, self._wake_writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def serve(self) -> None:
        """Take requests until the caller is gone."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_writing)
        control = self._control.fileno()
        while True:
            readable, _, _ = select.select([control, self._wake_reading], [], [])
            if self._wake_reading in readable:
                os.read(self._wake_reading, 1 << 12)
                self._reap()
            if control in readable and not self._take_request():
                return

    def _take_request(self) -> bool:
        request, descriptors, _, _ = socket.recv_fds(self._control, 1, 1)
        if not request:
            return False
        with socket.socket(fileno=descriptors[0]) as conversation:
            if request == EXECUTE:
                self._fork_supervisor(conversation)
            else:
                self._answer(request, conversation)
        return True

    def _answer(self, request: bytes, conversation: socket.socket) -> None:
        asked = read_to_end(conversation)
        try:
            with _ending_with(self._control):
                answer = self._describe() if request == DESCRIBE else self._size(asked)
        except Exception as error:  # noqa: BLE001 - it is the provider's code, and its error is the answer
            answer = {"failure": judge_exception(error).model_dump(mode="json")}
        with suppress(BrokenPipeError):  # a caller that is gone has no use for it
            conversation.sendall(json.dumps(answer).encode())

    def _describe(self) -> object:
        assert self._provider is not None  # noqa: S101 - descriptions are asked of warm servers alone
        return self._provider.describe().model_dump(mode="json")

    def _size(self, asked: bytes) -> object:
        assert self._provider is not None  # noqa: S101 - sizes are asked of warm servers alone
        definitions = [ExecutionDefinition.model_validate(item) for item in json.loads(asked)]
        return [
            self._provider.diagnostic(definition.diagnostic).resources_for(definition).model_dump(mode="json")
            for definition in definitions
        ]

    def _fork_supervisor(self, conversation: socket.socket) -> None:
        pid = os.fork()
        if pid:
            self._supervisors.add(pid)
            return
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._control.close()
        os.close(self._wake_reading)
        os.close(self._wake_writing)
        try:
            _supervise_and_report(conversation, self._provider)
        finally:
            os._exit(0)

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while ended := os.waitpid(-1, os.WNOHANG)[0]:
                self._supervisors.discard(ended)
        # What belongs to no supervisor lost its own to a kill. The end of each brings its children up to here.
        _kill(set(children(os.getpid())) - self._supervisors - self._providers_own)


def _supervise_and_report(conversation: socket.socket, provider: DiagnosticProvider | None) -> None:
    directory = ExecutionDirectory(Path(read_line(conversation)))
    try:
        outcome = supervise(directory, conversation, provider)
    except (OSError, ValueError, ClimateRefPrefectError) as error:
        outcome = refuse_unreadable(error)
    with suppress(BrokenPipeError):  # a caller that is gone will find the file
        conversation.sendall(outcome.to_json().encode())


def _kill(orphans: Iterable[int]) -> None:
    """End what a supervisor left behind that was itself killed."""
    for pid in orphans:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@contextmanager
def _ending_with(control: socket.socket) -> Iterator[None]:
    """Have the kernel end this process by SIGIO if its caller goes: a provider that hangs would not look."""
    flags = fcntl.fcntl(control, fcntl.F_GETFL)
    fcntl.fcntl(control, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(control, fcntl.F_SETFL, flags | os.O_ASYNC)
    if select.select([control], [], [], 0)[0]:  # nobody asks anything before the answer to this
        os._exit(1)
    try:
        yield
    finally:
        fcntl.fcntl(control, fcntl.F_SETFL, flags)


def main(target: str, isolation: str, descriptor: str) -> None:
    """Import the provider, say how that went, and serve."""
    # Forking with threads around is what `isolation="fresh"` is for; a warning per execution helps nobody.
    warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)
    os.umask(0o027)
    become_subreaper()
    control = socket.socket(fileno=int(descriptor))
    control.set_inheritable(False)
    provider = None
    if isolation == "warm":
        try:
            with _ending_with(control):
                provider = load_provider(ProviderReference(target=target))
                provider.warm_up()
        except BaseException as error:  # noqa: BLE001 - whatever an import raises, the provider cannot be used
            control.sendall(json.dumps(import_failure(target, error).model_dump(mode="json")).encode() + b"\n")
            return
    gc.freeze()  # keeps the collector from touching, and so copying, the pages that children share
    control.sendall(b"null\n")
    Server(control, provider).serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
    os._exit(0)  # a thread or exit handler of the provider's must not keep the server alive
