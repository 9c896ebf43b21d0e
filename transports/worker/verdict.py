"""What an exception or an exit of the child means; the only place that looks at exception types."""

import signal
import traceback
from typing import Final

from pydantic import ValidationError

from climate_ref_prefect.diagnostics.errors import (
    CommandKilledError,
    InputChangedError,
    ResultValidationError,
    UnreadableDocumentError,
)
from climate_ref_prefect.diagnostics.outcome import ExecutionFailure, FailureKind

_KILLED: Final = (-signal.SIGKILL, 128 + signal.SIGKILL)
"""Exit codes of a process killed by SIGKILL: as the kernel tells it, and as a shell does."""
_CLOSE_TO_LIMIT: Final = 0.9
"""A kill with this fraction of the memory in use is taken for lack of memory."""
_DETAILS_CHARACTERS: Final = 20_000

_KINDS: Final[tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], FailureKind], ...]] = (
    (MemoryError, FailureKind.OUT_OF_MEMORY),
    (CommandKilledError, FailureKind.KILLED),
    (InputChangedError, FailureKind.INPUT_CHANGED),
    ((ResultValidationError, ValidationError), FailureKind.INVALID_RESULT),
    ((OSError, SystemExit, KeyboardInterrupt, UnreadableDocumentError), FailureKind.SYSTEM_ERROR),
)


def judge_exception(error: BaseException) -> ExecutionFailure:
    """Map what a diagnostic raised to a failure, most specific kind first; the rest is the provider's own error."""
    kind = next((kind for types, kind in _KINDS if isinstance(error, types)), FailureKind.DIAGNOSTIC_ERROR)
    if kind is FailureKind.DIAGNOSTIC_ERROR and _is_of_killed_command(error):
        kind = FailureKind.KILLED
    text = str(error).strip() or "no message"
    details = "".join(traceback.format_exception(error))
    return ExecutionFailure(
        kind=kind,
        message=f"{type(error).__name__}: {text}"[:_DETAILS_CHARACTERS],
        details=details[-_DETAILS_CHARACTERS:],
    )


def _is_of_killed_command(error: BaseException | None) -> bool:
    """Whether it reports a command that was killed: providers wrap `CalledProcessError` in errors of their own."""
    while error is not None:
        if getattr(error, "returncode", None) in _KILLED:
            return True
        error = error.__cause__
    return False


def judge_exit(exit_code: int) -> ExecutionFailure:
    """Say what the end of a child means that left no verdict; a negative code is a signal."""
    if exit_code in _KILLED:
        return ExecutionFailure(
            kind=FailureKind.KILLED, message="The process of the diagnostic was killed (SIGKILL), nobody knows by whom."
        )
    return ExecutionFailure(
        kind=FailureKind.CRASHED,
        message=f"The process of the diagnostic ended without a result: {describe_exit(exit_code)}.",
    )


def describe_exit(exit_code: int) -> str:
    """Name an exit code or signal for people."""
    if exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        return f"{signal.Signals(-exit_code).name} ({signal.strsignal(-exit_code)})"
    except ValueError:
        return f"signal {-exit_code}"


def judge_memory(
    failure: ExecutionFailure, *, peak_rss_mb: float, memory_mb: int, oom_kills: int = 0
) -> ExecutionFailure:
    """Turn a kill of unknown cause into lack of memory where cgroup counters or telemetry say so."""
    if failure.kind is not FailureKind.KILLED:
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
