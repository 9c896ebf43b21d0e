"""Bring results from scratch to the results directory: checked, and visible all at once or not at all."""

import os
import shutil
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from climate_ref_prefect.diagnostics.errors import ClimateRefPrefectError
from climate_ref_prefect.diagnostics.fault_points import write_point
from climate_ref_prefect.diagnostics.outcome import FileRecord
from climate_ref_prefect.transports.worker.directory import ExecutionDirectory, describe_file, sync_directory
from climate_ref_prefect.transports.worker.manifest import check_files, published_names, read_outputs

LOG = "run.log"
_DIRECTORY_MODE = 0o750


class PublishError(ClimateRefPrefectError):
    """What lies on scratch, or already lies in the results directory, is not what the worker left."""


def publish(
    execution: ExecutionDirectory,
    manifest: Iterable[FileRecord],
    target: Path,
    confirm: Callable[[], object] = lambda: None,
) -> None:
    """
    Copy the log, the bundles and the files that they name to `target`.

    Copies go to a temporary directory on the file system of `target`, are checked against the manifest,
    and get their name by one rename. A target that is there already is checked instead.

    Parameters
    ----------
    execution
        Where the execution ran.
    manifest
        What the worker left there.
    target
        `<results>/<fragment>`; is there afterwards, whole.
    confirm
        Called immediately before the results get their name, and raises where they must not.

    Raises
    ------
    PublishError
        If a file differs from the manifest, or is not in it.
    ResultValidationError
        If the output bundle is none, or names something outside its directory.
    OSError
        If the file system does not take it; nothing is then visible at `target`.
    """
    wanted = _wanted(execution.output, manifest)
    if target.exists():
        _verify(target, wanted)
        return
    target.parent.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
    temporary = target.parent / f".incoming-{target.name}-{uuid.uuid4().hex[:8]}"
    try:
        with write_point("copy of results"):
            _copy(execution, wanted, temporary)
        confirm()
        with write_point("name of results"):
            temporary.rename(target)
        sync_directory(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def verify(target: Path, manifest: Iterable[FileRecord] | None) -> None:
    """
    See that results that have been published are whole.

    Parameters
    ----------
    target
        `<results>/<fragment>`.
    manifest
        What the worker left; none where nothing tells any more: then only files that are missing, or links, are found.

    Raises
    ------
    PublishError, ResultValidationError, OSError
        As `publish`.
    """
    if manifest is None:
        check_files(read_outputs(target), target)
    else:
        _verify(target, _wanted(target, manifest))


def _wanted(output: Path, manifest: Iterable[FileRecord]) -> list[FileRecord]:
    outputs = read_outputs(output)
    check_files(outputs, output)
    names = published_names(outputs)
    records = {record.path: record for record in manifest}
    if missing := sorted(names - records.keys()):
        raise PublishError(f"The worker's manifest does not list {', '.join(missing)} of {output}.")
    return [records[name] for name in sorted(names)]


def _copy(execution: ExecutionDirectory, wanted: Iterable[FileRecord], target: Path) -> None:
    target.mkdir(mode=_DIRECTORY_MODE)
    shutil.copyfile(execution.log, target / LOG)
    for record in wanted:
        destination = target / record.path
        destination.parent.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)
        shutil.copyfile(execution.output / record.path, destination, follow_symlinks=False)
        _check(destination, record)
        _sync(destination)
    _sync(target / LOG)
    sync_directory(target)


def _verify(target: Path, wanted: Iterable[FileRecord]) -> None:
    for record in wanted:
        _check(target / record.path, record)


def _check(path: Path, record: FileRecord) -> None:
    if path.is_symlink() or not path.is_file() or describe_file(path, record.path) != record:
        raise PublishError(f"{path} is not the file that the worker left (size or SHA-256 differ).")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_leftovers(results: Path) -> None:
    """
    Remove what interrupted copies left behind; to be called by the coordinator of the store that `results` belongs to.

    Each is renamed first: a copy that goes on after all, of a coordinator that does not know yet that it has been
    replaced, then either has its name already and stays whole, or fails.
    """
    for leftover in results.glob("*/*/*/.incoming-*"):
        doomed = leftover.with_name(f".incoming-removed-{uuid.uuid4().hex[:8]}")
        with suppress(OSError):  # it has got its name, or the next coordinator has more luck
            leftover.rename(doomed)
            shutil.rmtree(doomed, ignore_errors=True)
