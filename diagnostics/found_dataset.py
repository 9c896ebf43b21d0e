"""A data set that has been found in a directory. What a diagnostic is given of it is made when it is used."""

import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from climate_ref_prefect.diagnostics.data_reference_syntax import FACETS
from climate_ref_prefect.diagnostics.directory_walk import NetcdfDirectory, Status, innermost_names, status_of
from climate_ref_prefect.diagnostics.execution_definition import Dataset
from climate_ref_prefect.diagnostics.file_fingerprint import file_stamp, fingerprint

logger = logging.getLogger(__name__)

_OPENED_FOR: Final = 8
"""From so many files on it takes less time to open the directory than to look up the whole path of each file."""


@dataclass(frozen=True)
class FoundDataset:
    """A data set by its directory and the names of its files."""

    directory: str
    names: tuple[str, ...]
    """Names of its files, in order of time."""

    fingerprint: str
    """Of its files, as they were when it was found."""

    @cached_property
    def facets(self) -> Mapping[str, str]:
        """The facets, which the names of its directories are."""
        return dict(zip(FACETS, innermost_names(self.directory), strict=True))

    @cached_property
    def dataset(self) -> Dataset:
        """What executions are given: always the same object."""
        inside = self.directory + os.sep
        return Dataset(
            instance_id=".".join(self.facets.values()),
            facets=self.facets,
            files=tuple(Path(inside + name) for name in self.names),
            fingerprint=self.fingerprint,
            fingerprint_of="files",
        )


def found_dataset(found: NetcdfDirectory) -> FoundDataset:
    """Look at the files of a data set."""
    names = found.fitting
    if found.statuses:
        inside = found.path + os.sep
        statuses = [found.statuses.get(name) or status_of(inside + name) for name in names]
    else:
        statuses = _statuses(found.path, names)
    traces = [_trace(found.path, name, status) for name, status in zip(names, statuses, strict=True)]
    return FoundDataset(found.path, names, fingerprint(traces))


def _statuses(directory: str, names: Sequence[str]) -> list[Status]:
    """Return the status of each file, or the error of reading it."""
    if len(names) >= _OPENED_FOR:
        with suppress(OSError):  # Which file has the error shows when each is looked at.
            return _statuses_in_opened(directory, names)
    inside = directory + os.sep
    return [status_of(inside + name) for name in names]


def _statuses_in_opened(directory: str, names: Sequence[str]) -> list[Status]:
    opened = os.open(directory, getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return [os.stat(name, dir_fd=opened) for name in names]
    finally:
        os.close(opened)


def _trace(directory: str, name: str, status: Status) -> str:
    if isinstance(status, OSError):
        path = f"{directory}{os.sep}{name}"
        logger.warning("Cannot look at %r (%s); what reads it will fail.", path, status.strerror)
    return file_stamp(name, status)
