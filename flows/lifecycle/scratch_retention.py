"""Retention of files on scratch after an attempt has been finalised."""

import shutil
from contextlib import suppress
from pathlib import Path

from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.fault_injection import write_point
from climate_ref_prefect.flows.lifecycle.attempt import Attempt
from climate_ref_prefect.flows.settings import Settings


def apply_retention(attempt: Attempt) -> None:
    """
    Remove from scratch what the retention settings do not keep.

    Of a success whose results have been published nothing stays by default, because its results directory has all that
    people need. Of a failure the small JSON files always stay, which say what happened, and its log unless that has
    been published. Results that the recorder has not published stay, too: there is no other copy of them.
    """
    settings = attempt.workspace.settings
    failed = attempt.verdict is None or not attempt.verdict.succeeded
    has_copy = attempt.results_path is not None
    if settings.keep_scratch == "all" or (settings.keep_scratch == "failed" and failed):
        return
    if failed:
        remove_output(attempt.files, with_log=has_copy)
    elif attempt.results_path is not None and not attempt.results_path.is_relative_to(attempt.files.path):
        remove_success(attempt.files, settings)


def remove_success(files: ExecutionDirectory, settings: Settings) -> None:
    """Remove what a success has left on scratch, once its results have been published."""
    if settings.keep_documents:
        remove_output(files, with_log=True)
    else:
        remove_directory(files, settings.scratch_directory)


def remove_output(files: ExecutionDirectory, *, with_log: bool) -> None:
    """Remove an execution's output from scratch, and its log where that has been published."""
    with write_point("removal from scratch"):
        shutil.rmtree(files.output, ignore_errors=True)
        if with_log:
            with suppress(OSError):  # as above: what stays there takes room, no more
                files.log.unlink(missing_ok=True)


def remove_directory(files: ExecutionDirectory, scratch: Path) -> None:
    """Remove an execution's directory from scratch, and the directories of its group and diagnostic if empty."""
    with write_point("removal from scratch"):
        shutil.rmtree(files.path, ignore_errors=True)
    _remove_empty_parents(files.path, scratch)


def withdraw_directory(files: ExecutionDirectory, scratch: Path) -> bool:
    """
    Remove the directory of an execution that no worker has begun with; return False if one begins with it now.

    It is renamed first: a worker that is about to claim the execution has claimed it before that, or never will. Where
    it has, it finds `closed.json` as soon as the directory has its name again, and runs nothing.

    Raises
    ------
    OSError
        If it cannot be renamed.
    """
    withdrawn = files.path.with_name(f".withdrawn-{files.path.name}")
    try:
        files.path.rename(withdrawn)
    except FileNotFoundError:  # It had not been made.
        return True
    if ExecutionDirectory(withdrawn).is_claimed():
        withdrawn.rename(files.path)
        return False
    with write_point("removal from scratch"):
        shutil.rmtree(withdrawn, ignore_errors=True)
    _remove_empty_parents(files.path, scratch)
    return True


def _remove_empty_parents(path: Path, scratch: Path) -> None:
    """Remove the empty directories above; not that of the provider, to which a site may have given a quota."""
    for parent in path.parents:
        if scratch in (parent, parent.parent) or not parent.is_relative_to(scratch):
            return
        with suppress(OSError):  # It is not empty, or takes room, no more.
            parent.rmdir()
