"""The child of a supervisor: a process in a session of its own that runs one diagnostic."""

import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from climate_ref_prefect.diagnostics.definition import ExecutionEnvelope, ProviderReference
from climate_ref_prefect.diagnostics.errors import UnreadableDocumentError
from climate_ref_prefect.diagnostics.outcome import ExecutionFailure, FailureKind
from climate_ref_prefect.diagnostics.provider import DiagnosticProvider, load_provider
from climate_ref_prefect.transports.worker.directory import ExecutionDirectory
from climate_ref_prefect.transports.worker.process_tree import end_with_parent
from climate_ref_prefect.transports.worker.run import run_diagnostic
from climate_ref_prefect.transports.worker.verdict import judge_exception

logger = logging.getLogger(__name__)
IMPORTED = b"imported\n"
"""First line of a fresh child's report; then, as in a forked one, its verdict as one line of JSON."""
CHILD_MODULE = "climate_ref_prefect.transports.worker.child"
_REPORT = 3
"""The descriptor of the report, next to the standard streams."""
_RESET_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


def fork_child(
    directory: ExecutionDirectory, envelope: ExecutionEnvelope, provider: DiagnosticProvider
) -> tuple[int, int]:
    """Fork a child that runs the diagnostic; return its pid and the descriptor that its report is read from."""
    return _fork(directory, lambda: _run_and_exit(directory, envelope, provider, _REPORT))


def exec_child(directory: ExecutionDirectory) -> tuple[int, int]:
    """Start a child in a new interpreter, which imports the provider itself."""
    return _fork(directory, lambda: _exec(directory))


def _exec(directory: ExecutionDirectory) -> NoReturn:
    os.set_inheritable(_REPORT, True)
    os.execv(sys.executable, [sys.executable, "-P", "-m", CHILD_MODULE, str(directory.path), str(_REPORT)])  # noqa: S606


def _fork(directory: ExecutionDirectory, live: Callable[[], NoReturn]) -> tuple[int, int]:
    reading, writing = os.pipe()
    supervisor = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(writing, _REPORT, inheritable=False)
            _settle_in(directory, supervisor)
            live()
        except BaseException as error:  # noqa: BLE001 - two of the supervisor would go on from here
            report_verdict(_REPORT, judge_exception(error))
        finally:
            os._exit(1)
    os.close(writing)
    return pid, reading


def _settle_in(directory: ExecutionDirectory, supervisor: int) -> None:
    """Leave the parent's session, streams, signals and descriptors behind, but for that of the report."""
    os.setsid()
    end_with_parent()
    if os.getppid() != supervisor:  # it died before the kernel was asked to tell
        os._exit(1)
    for number in _RESET_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    log = os.open(directory.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.closerange(_REPORT + 1, os.sysconf("SC_OPEN_MAX"))
    directory.output.mkdir(mode=0o750, exist_ok=True)
    os.chdir(directory.output)


def _run_and_exit(
    directory: ExecutionDirectory, envelope: ExecutionEnvelope, provider: DiagnosticProvider, report: int
) -> NoReturn:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True)
    logger.info("Running %s on %d data sets", envelope.label, len(envelope.definition.datasets))
    failure = None
    try:
        run_diagnostic(envelope, provider, directory.output)
        logger.info("Finished %s", envelope.label)
    except BaseException as error:  # noqa: BLE001 - every exception has a meaning, which the verdict gives
        failure = judge_exception(error)
        _log(failure)
    report_verdict(report, failure)


def _log(failure: ExecutionFailure) -> None:
    with suppress(OSError):  # the disk may be full
        print(failure.details, file=sys.stderr)  # noqa: T201 - this is the log of the execution


def report_verdict(report: int, failure: ExecutionFailure | None) -> NoReturn:
    """Tell the supervisor how it went and end, running nothing that was registered in the parent."""
    verdict = json.dumps(failure.model_dump(mode="json") if failure else None)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # a full disk has cut the log short; the verdict still counts
            continue
    with os.fdopen(report, "w", encoding="utf-8") as pipe:
        pipe.write(verdict + "\n")
    os._exit(0)


def main(directory_path: str, report_descriptor: str) -> NoReturn:
    """Import the provider, say so, run the diagnostic: the life of a fresh child."""
    report = int(report_descriptor)
    os.set_inheritable(report, False)
    end_with_parent()
    directory = ExecutionDirectory(Path(directory_path))
    try:
        envelope = directory.read_envelope()
    except (OSError, UnreadableDocumentError) as error:
        report_verdict(report, judge_exception(error))
    provider = _import_or_report(envelope.provider, report)
    os.write(report, IMPORTED)
    _run_and_exit(directory, envelope, provider, report)


def _import_or_report(reference: ProviderReference, report: int) -> DiagnosticProvider:
    try:
        return load_provider(reference)
    except BaseException as error:  # noqa: BLE001 - whatever an import raises, the provider cannot be used
        _log(judge_exception(error))
        report_verdict(report, import_failure(reference.target, error))


def import_failure(target: str, error: BaseException) -> ExecutionFailure:
    """Say that a provider could not be imported, and with what."""
    judged = judge_exception(error)
    return ExecutionFailure(
        kind=FailureKind.PROVIDER_IMPORT,
        message=f"Provider {target} cannot be imported: {judged.message}",
        details=judged.details,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
