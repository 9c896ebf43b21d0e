"""Retention of files on scratch after an attempt has been finalised."""

import shutil
from contextlib import suppress

from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.fault_injection import write_point
from climate_ref_prefect.flows.lifecycle.attempt import Attempt


def apply_retention(attempt: Attempt) -> None:
    """
    Remove from scratch what the retention setting does not keep; the small JSON files always stay.

    So do results that the recorder has not published: there is no other copy of them.
    """
    keep = attempt.workspace.settings.keep_scratch
    failed = attempt.verdict is None or not attempt.verdict.succeeded
    has_copy = attempt.results_path is not None
    if keep == "all" or (keep == "failed" and failed) or not (failed or has_copy):
        return
    remove_output(attempt.files, with_log=has_copy)


def remove_output(files: ExecutionDirectory, *, with_log: bool) -> None:
    """Remove an execution's output from scratch, and its log where that has been published."""
    with write_point("removal from scratch"):
        shutil.rmtree(files.output, ignore_errors=True)
        if with_log:
            with suppress(OSError):  # as above: what stays there takes room, no more
                files.log.unlink(missing_ok=True)
