"""The child of a supervisor: a process in a session of its own that runs one diagnostic."""

import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NoReturn

from pydantic import ValidationError

from climate_ref_prefect.diagnostics.base_models import FrozenModel
from climate_ref_prefect.diagnostics.declaration_errors import declaration_error
from climate_ref_prefect.diagnostics.errors import UnreadableDocumentError
from climate_ref_prefect.diagnostics.execution_definition import ProviderReference
from climate_ref_prefect.diagnostics.provider import DiagnosticProvider, load_provider
from climate_ref_prefect.execution.envelope import ExecutionEnvelope
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.execution.host.process_tree import end_with_parent
from climate_ref_prefect.execution.host.python_search_path import adopt_search_path
from climate_ref_prefect.execution.outcome import ExecutionFailure
from climate_ref_prefect.execution.worker.failure_mapping import failure_from_exception
from climate_ref_prefect.execution.worker.file_descriptors import close_all, close_all_of_ours, close_ours, move_away
from climate_ref_prefect.execution.worker.flush_open_files import flush_open_files
from climate_ref_prefect.execution.worker.fork_safety import Inheritance
from climate_ref_prefect.execution.worker.log_streams import LogHandler, log_stream, write_utf8
from climate_ref_prefect.execution.worker.run_diagnostic import run_diagnostic
from climate_ref_prefect.execution.worker.scratch_full_detection import why_scratch_was_full

logger = logging.getLogger(__name__)
IMPORTED = b"imported\n"
"""First line of what a child in a new interpreter writes. Then every child writes its report in one line."""
CHILD_MODULE = "climate_ref_prefect.execution.worker.child_process"
_LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_RESET_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGCONT)


class ChildReport(FrozenModel):
    """What a child tells its supervisor when the diagnostic has ended."""

    failure: ExecutionFailure | None = None
    scratch_full: str = ""
    """Why scratch counted as full when the diagnostic failed; empty if it did not."""


@dataclass(frozen=True)
class ForkedStart:
    """Starts executions as forks of the process that has imported their provider."""

    provider: DiagnosticProvider
    inheritance: Inheritance
    """The files that the provider holds open at the time of the fork."""

    imports_provider: ClassVar[bool] = False

    def start(self, directory: ExecutionDirectory, envelope: ExecutionEnvelope) -> tuple[int, int]:
        """Start the child; return its pid and the descriptor that its report is read from."""
        return _fork(directory, envelope, lambda report: self._live(directory, envelope, report))

    def _live(self, directory: ExecutionDirectory, envelope: ExecutionEnvelope, report: int) -> NoReturn:
        self.inheritance.take_over()
        _run_and_exit(directory, envelope, self.provider, report)


@dataclass(frozen=True)
class FreshStart:
    """Starts executions in new interpreters, each of which imports the provider itself."""

    environment: Mapping[str, str]

    imports_provider: ClassVar[bool] = True

    def start(self, directory: ExecutionDirectory, envelope: ExecutionEnvelope) -> tuple[int, int]:
        """Start the child; return its pid and the descriptor that its report is read from."""
        return _fork(directory, envelope, lambda report: self._exec(directory, report))

    def _exec(self, directory: ExecutionDirectory, report: int) -> NoReturn:
        close_all(keep={report})
        os.set_inheritable(report, True)
        command = [sys.executable, "-P", "-m", CHILD_MODULE, str(directory.path), str(report)]
        os.execve(sys.executable, command, self.environment)  # noqa: S606 - our own module


Start = ForkedStart | FreshStart
"""How the child of an execution is started."""


def _fork(
    directory: ExecutionDirectory, envelope: ExecutionEnvelope, live: Callable[[int], NoReturn]
) -> tuple[int, int]:
    reading, writing = (move_away(end) for end in os.pipe())
    supervisor = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            close_all_of_ours(keep=writing)
            _settle_in(directory, directory.output_of(envelope), supervisor)
            live(writing)
        except BaseException as error:  # noqa: BLE001 - two of the supervisor would go on from here
            report_result(writing, failure_from_exception(error))
        finally:
            os._exit(1)
    close_ours(writing)
    return pid, reading


def _settle_in(directory: ExecutionDirectory, output: Path, supervisor: int) -> None:
    """Give up the parent's session, streams and signals, and change to the directory that the diagnostic writes to."""
    os.setsid()
    end_with_parent()
    if os.getppid() != supervisor:  # The supervisor died before the kernel was asked to signal its death.
        os._exit(1)
    for number in _RESET_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    # High numbers, because the lowest ones would be standard streams if the provider has closed those.
    log = move_away(os.open(directory.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640))
    nothing = move_away(os.open(os.devnull, os.O_RDONLY))
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    close_ours(log)
    close_ours(nothing)
    output.mkdir(mode=0o750, parents=True, exist_ok=True)
    os.chdir(output)


def _run_and_exit(
    directory: ExecutionDirectory, envelope: ExecutionEnvelope, provider: DiagnosticProvider, report: int
) -> NoReturn:
    logging.basicConfig(level=logging.INFO, format=_LOG_FORMAT, handlers=[LogHandler()], force=True)
    logger.info("Running %s on %d data sets", envelope.label, len(envelope.definition.datasets))
    failure, scratch_full = None, ""
    try:
        files = run_diagnostic(envelope, provider, directory.output_of(envelope))
        if files is not None:
            directory.write_result_files(files)
        flush_open_files()  # `os._exit` closes and flushes nothing.
        logger.info("Finished %s", envelope.label)
    except BaseException as error:  # noqa: BLE001 - every exception has a meaning, which the verdict gives
        failure = failure_from_exception(error)
        with suppress(Exception):  # Nothing that goes wrong here, as for want of memory, may hide the failure itself.
            scratch_full = why_scratch_was_full(directory.path, failure)
        _log(failure)
    report_result(report, failure, scratch_full)


def _log(failure: ExecutionFailure) -> None:
    # The disk may be full, or the diagnostic may have closed the stream.
    with suppress(Exception), log_stream() as log:
        print(failure.details, file=log)


def _flush_output() -> None:
    """Flush what was printed. An incomplete log is no failure, and the diagnostic may have replaced the streams."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        with suppress(BaseException):
            stream.flush()  # type: ignore[union-attr]


def report_result(report: int, failure: ExecutionFailure | None, scratch_full: str = "") -> NoReturn:
    """Report the result to the supervisor and exit without running the exit handlers of the parent."""
    verdict = ChildReport(failure=failure, scratch_full=scratch_full).model_dump_json()
    _flush_output()
    with os.fdopen(report, "w", encoding="utf-8") as pipe:
        pipe.write(verdict + "\n")
    os._exit(0)


def main(directory_path: str, report_descriptor: str) -> NoReturn:
    """Import the provider, report that, and run the diagnostic: the main program of a child in a new interpreter."""
    report = int(report_descriptor)
    adopt_search_path()
    os.set_inheritable(report, False)
    write_utf8()
    end_with_parent()
    directory = ExecutionDirectory(Path(directory_path))
    try:
        envelope = directory.read_envelope()
    except (OSError, UnreadableDocumentError) as error:
        report_result(report, failure_from_exception(error))
    provider = _import_or_report(envelope.provider, report)
    # The import may have changed the directory. A forked child also changes directory after the import.
    os.chdir(directory.output_of(envelope))
    os.write(report, IMPORTED)
    _run_and_exit(directory, envelope, provider, report)


def _import_or_report(reference: ProviderReference, report: int) -> DiagnosticProvider:
    try:
        return load_provider(reference)
    except BaseException as error:  # noqa: BLE001 - whatever an import raises, the provider cannot be used
        _log(failure_from_exception(error))
        report_result(report, import_failure(reference.target, error))


def import_failure(target: str, error: BaseException) -> ExecutionFailure:
    """Return the failure of a provider that could not be imported, with the error that its import raised."""
    judged = failure_from_exception(error)
    why = declaration_error(error) if isinstance(error, ValidationError) else judged.message
    return ExecutionFailure(
        kind=FailureKind.PROVIDER_IMPORT,
        message=f"Provider {target} cannot be imported: {why}",
        details=judged.details,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
