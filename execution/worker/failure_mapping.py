"""Map exceptions and exit codes to failure kinds. No other module looks at the types of exceptions."""

import errno
import resource
import signal
import subprocess
from collections.abc import Sequence
from typing import Final

from pydantic import ValidationError

from climate_ref_prefect.diagnostics.errors import (
    CommandKilledError,
    InputChangedError,
    ResultValidationError,
    UnreadableDocumentError,
)
from climate_ref_prefect.execution.failure_kinds import FAILURE_RULES, FailureKind
from climate_ref_prefect.execution.outcome import ExecutionFailure
from climate_ref_prefect.execution.worker.exception_formatting import (
    causes,
    describe_exception,
    format_exception,
    leaves,
    text_of,
)

_KILLED: Final = (-signal.SIGKILL, 128 + signal.SIGKILL)
"""Exit codes of a process killed by SIGKILL: as the kernel reports it, and as a shell does."""
_CLOSE_TO_LIMIT: Final = 0.9
"""A kill while more than this fraction of the memory was in use counts as lack of memory."""
_DETAILS_CHARACTERS: Final = 20_000

_KINDS: Final[tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], FailureKind], ...]] = (
    (MemoryError, FailureKind.OUT_OF_MEMORY),
    (CommandKilledError, FailureKind.KILLED),
    (InputChangedError, FailureKind.INPUT_CHANGED),
    ((ResultValidationError, ValidationError), FailureKind.INVALID_RESULT),
    ((OSError, KeyboardInterrupt, UnreadableDocumentError), FailureKind.SYSTEM_ERROR),
)
_NO_THREAD: Final = "can't start new thread"
"""Python's message when a limit on threads is reached; the exception has no type of its own."""
_NO_PROGRAM: Final = (errno.ENOENT, errno.EACCES, errno.ENOTDIR, errno.ENOEXEC, errno.E2BIG)
"""Errors of starting a program that will recur at each attempt."""


def failure_from_exception(error: BaseException) -> ExecutionFailure:
    """Map an exception of a diagnostic to a failure, most specific kind first. The rest are its own errors."""
    message = describe_exception(error)
    return ExecutionFailure(
        kind=_kind_of_all(leaves(error)),
        message=message[:_DETAILS_CHARACTERS],
        details=format_exception(error)[-_DETAILS_CHARACTERS:],
    )


def _kind_of_all(errors: Sequence[BaseException]) -> FailureKind:
    """Return the kind of errors that were raised together. Lack of memory and kills explain the other errors."""
    kinds = [_kind_of(error) for error in errors]
    telling = (FailureKind.OUT_OF_MEMORY, FailureKind.KILLED)
    told = next((kind for kind in telling if kind in kinds), None)
    if told is not None:
        return told
    return kinds[0] if len(set(kinds)) == 1 else FailureKind.DIAGNOSTIC_ERROR


def _kind_of(error: BaseException) -> FailureKind:
    kind = next((kind for types, kind in _KINDS if isinstance(error, types)), FailureKind.DIAGNOSTIC_ERROR)
    if isinstance(error, OSError) and _is_of_missing_program(error):
        return FailureKind.DIAGNOSTIC_ERROR
    if isinstance(error, RuntimeError) and text_of(error) == _NO_THREAD:
        return FailureKind.SYSTEM_ERROR
    if kind is FailureKind.DIAGNOSTIC_ERROR and any(_is_of_killed_command(cause) for cause in causes(error)):
        return FailureKind.KILLED
    return kind


def _is_of_killed_command(error: BaseException) -> bool:
    """Whether it reports a killed command, also if the provider has wrapped the `CalledProcessError`."""
    try:
        # A provider may pass the exit code of a command on: `sys.exit(command.returncode)`.
        code = error.code if isinstance(error, SystemExit) else getattr(error, "returncode", None)
    except Exception:  # noqa: BLE001 - an attribute of the provider's own, which may do anything
        return False
    return isinstance(code, int) and was_killed(code)


def _is_of_missing_program(error: OSError) -> bool:
    """Whether `subprocess` raised it because the program does not exist or cannot be executed."""
    if error.errno not in _NO_PROGRAM:
        return False
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None or trace.tb_frame.f_code.co_filename != subprocess.__file__:
        return False
    working_directory = trace.tb_frame.f_locals.get("cwd")  # The working directory may be what is missing.
    return working_directory is None or error.filename != working_directory


def process_limit_message(error: OSError) -> str:
    """Return the message for a system that starts no further process, with what to do about it."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    limit = "unlimited" if allowed == resource.RLIM_INFINITY else str(allowed)
    return (
        f"No process could be started for it: {error.strerror}. This user may have {limit} processes and threads "
        "(ulimit -u), and a container or job its own number (pids.max), beside the memory that they need. Raise the "
        "limit, or have fewer executions run at once, and solve again."
    )


def failure_from_exit_code(exit_code: int) -> ExecutionFailure:
    """Return the failure of a child that ended without a report. A negative exit code is a signal."""
    if was_killed(exit_code):
        return ExecutionFailure(
            kind=FailureKind.KILLED,
            message="The process of the diagnostic was killed (SIGKILL); it is not known by whom.",
        )
    return ExecutionFailure(
        kind=FailureKind.CRASHED,
        message=f"The process of the diagnostic ended without a result: {describe_exit(exit_code)}.",
    )


def was_killed(exit_code: int) -> bool:
    """Whether an exit code is that of a process that was killed by SIGKILL, directly or below a shell."""
    return exit_code in _KILLED


def failure_from_exit_during_import(target: str, exit_code: int, printed: str = "") -> ExecutionFailure:
    """
    Return the failure of a process that ended while it imported a provider.

    A kill says nothing about the provider: the kernel may have needed the memory for others.

    Parameters
    ----------
    target
        The provider, as `module:attribute`.
    exit_code
        Of the process; a negative one is a signal.
    printed
        What the process printed last.
    """
    if was_killed(exit_code):
        message = f"Provider {target} was killed (SIGKILL) while it was imported; it is not known by whom."
        return ExecutionFailure(kind=FailureKind.KILLED, message=message, details=printed)
    message = f"Provider {target} ended its process while it was imported: {describe_exit(exit_code)}."
    return ExecutionFailure(kind=FailureKind.PROVIDER_IMPORT, message=message, details=printed)


def describe_exit(exit_code: int) -> str:
    """Return an exit code or signal in words."""
    if exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        return f"{signal.Signals(-exit_code).name} ({signal.strsignal(-exit_code)})"
    except ValueError:
        return f"signal {-exit_code}"


def failure_from_memory_use(
    failure: ExecutionFailure, *, peak_rss_mb: float, memory_mb: int, oom_kills: int = 0
) -> ExecutionFailure:
    """Return OUT_OF_MEMORY in place of a kill of unknown cause if cgroup counters or telemetry show it."""
    if FailureKind.OUT_OF_MEMORY not in FAILURE_RULES[failure.kind].may_hide:
        return failure
    if oom_kills > 0:
        why = f"The kernel killed {oom_kills} process(es) of its cgroup for lack of memory"
    elif peak_rss_mb >= _CLOSE_TO_LIMIT * memory_mb:
        why = "It was killed while close to its limit"
    else:
        return failure
    return failure.model_copy(
        update={
            "kind": FailureKind.OUT_OF_MEMORY,
            "message": f"{why}: {peak_rss_mb:.0f} MiB seen, {memory_mb} MiB asked for. {failure.message}",
        }
    )
