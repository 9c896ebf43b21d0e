"""What the log of a failed task run says: why the execution failed, and the end of the execution's own log."""

from pathlib import Path
from typing import Final

from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.failure_kinds import FAILURE_RULES
from climate_ref_prefect.execution.log_file import end_of_log
from climate_ref_prefect.execution.outcome import ExecutionFailure

ONLY_ON_SERVER: Final = "only_on_server"
"""The attribute of log records that are for Prefect's server alone: hundreds of tracebacks would flood a console."""
_LONGEST_BYTES: Final = 16_384


def explain_failure(failure: ExecutionFailure, directory: Path) -> str:
    """
    Return what happened, what to do, the traceback, and the end of the execution's log with where all of it lies.

    Parameters
    ----------
    failure
        Why it failed.
    directory
        The execution's directory.
    """
    rule = FAILURE_RULES[failure.kind]
    log = ExecutionDirectory(directory).log
    try:
        end = end_of_log(log, _LONGEST_BYTES).strip()
    except OSError as error:
        end = f"It cannot be read: {error.strerror or error}."
    details = failure.details.strip()
    parts = [
        f"{rule.title}: {failure.message}\n{rule.next_step}",
        details if details not in end else "",
        f"The end of {log}:\n{end}" if end else f"Nothing was written to {log}.",
    ]
    return "\n\n".join(filter(None, parts))
