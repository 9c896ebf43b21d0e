"""
A catalogue of the data sets below a directory, read from the paths of a CMIP6 data reference syntax (DRS) tree.

No file is opened: what a data set is follows from its path alone, so that an unreadable file
fails the executions that read it and nothing else.
"""

import logging
import os
import re
import stat
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

from climate_ref_prefect.diagnostics.definition import Dataset
from climate_ref_prefect.diagnostics.errors import BadInputError, UnknownNameError
from climate_ref_prefect.diagnostics.fingerprint import fingerprint, trace
from climate_ref_prefect.diagnostics.requirement import DataRequirement

FACETS = (
    "mip_era",
    "activity_id",
    "institution_id",
    "source_id",
    "experiment_id",
    "member_id",
    "table_id",
    "variable_id",
    "grid_label",
    "version",
)
"""Facets of a data set, in the order of the directories that name them (CMIP6 DRS, doi:10.5281/zenodo.12768887)."""

_IN_FILE_NAME = ("variable_id", "table_id", "source_id", "experiment_id", "member_id", "grid_label")
_LAYOUT = "/".join(f"<{facet}>" for facet in FACETS) + "/<file>.nc"
_STEM_LAYOUT = "_".join(f"<{facet}>" for facet in _IN_FILE_NAME)
_ERA = re.compile(r"CMIP[0-9]+[A-Za-z]*")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
_VERSION = re.compile(r"v[0-9]+")
_AFTER_STEM = re.compile(r"(_[0-9][0-9A-Za-z-]*)?\.nc")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DataGroup:
    """The data sets that one execution reads."""

    key: str
    """Name of the group: the values of its group-by, joined by dots."""
    selectors: Mapping[str, str]
    """The group-by facets and their values."""
    datasets: tuple[Dataset, ...]
    """The group's own data sets, then those of the ensemble where one was asked for."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All data sets below a directory, in the order of their names."""

    root: Path
    datasets: tuple[Dataset, ...]

    def groups(self, requirement: DataRequirement) -> tuple[DataGroup, ...]:
        """
        Group the data sets that a diagnostic wants, always in the same order.

        Raises
        ------
        UnknownNameError
            If the requirement names a facet that data sets do not have; it lists those they have.
        """
        for facet in requirement.facets:
            if facet not in FACETS:
                raise UnknownNameError("facet", facet, FACETS)
        accepted = [dataset for dataset in self.datasets if requirement.accepts(dataset.facets)]
        own = _grouped(accepted, requirement.group_by)
        ensembles = _grouped(accepted, requirement.ensemble_by) if requirement.with_ensemble else {}
        groups = (_group(values, own[values], ensembles, requirement) for values in sorted(own))
        return tuple(group for group in groups if len(group.datasets) >= requirement.at_least)


def scan(root: Path) -> Catalogue:
    """
    Find the data sets below a directory, each in its latest version.

    Directories that are symbolic links are followed. A directory that cannot be read, for whatever reason, is left
    out with a warning that says why, and so is a pipe, socket or device; a file that cannot be looked at fails the
    executions that read it. A data set that is there twice in the same version is taken from the path that sorts
    first. Files whose name does not repeat the facets of their directories, as the DRS demands, are left out.

    Parameters
    ----------
    root
        A directory at, above or below the one that is named for the MIP era (`CMIP6`).

    Raises
    ------
    BadInputError
        If the directory does not exist, is a file, cannot be read, or holds no data set.
    """
    root = _checked(root)
    latest: dict[tuple[str, ...], tuple[tuple[int, str], list[os.DirEntry[str]]]] = {}
    strangers: list[str] = []
    # In order of the paths, not of the file system, so that of two replicas it is always the same one.
    for directory, files in sorted(_directories_with_netcdf(str(root)), key=itemgetter(0)):
        values = Path(directory).parts[-len(FACETS) :]
        fitting = _fitting(values, files)
        strangers += sorted({file.path for file in files} - {file.path for file in fitting})
        if fitting:
            drs, rank = values[:-1], (int(values[-1][1:]), values[-1])
            if drs not in latest or rank > latest[drs][0]:
                latest[drs] = (rank, fitting)
    if not latest:
        raise BadInputError(_nothing_found(root, strangers))
    if strangers:
        logger.info("%d .nc files below %s do not fit %s, e.g. %s", len(strangers), root, _LAYOUT, strangers[0])
    datasets = (_dataset((*drs, rank[1]), files) for drs, (rank, files) in sorted(latest.items(), key=itemgetter(0)))
    return Catalogue(root=root, datasets=tuple(datasets))


def _checked(root: Path) -> Path:
    # Not resolve(): it would replace the links that the user's paths go by.
    absolute = Path(os.path.abspath(root))  # noqa: PTH100
    try:
        mode = absolute.stat().st_mode
    except FileNotFoundError:
        raise BadInputError(f"The data directory {absolute} does not exist.") from None
    except (OSError, ValueError) as error:
        raise BadInputError(f"The data directory {str(absolute)!r} cannot be read: {error}.") from error
    if not stat.S_ISDIR(mode):
        raise BadInputError(f"The data directory {absolute} is a file; give the directory that holds the CMIP6 tree.")
    if not _is_text(str(absolute)):
        raise BadInputError(f"The path {str(absolute)!r} is not UTF-8, so no JSON file can name what is below it.")
    return absolute


def _nothing_found(root: Path, strangers: Sequence[str]) -> str:
    message = f"There are no data sets below {root}. Looked for {_LAYOUT} with files {_STEM_LAYOUT}*.nc; "
    if not strangers:
        return message + "found no .nc file at all."
    return message + f"found {len(strangers)} .nc files that do not fit, for example {strangers[0]!r}."


def _directories_with_netcdf(root: str) -> Iterator[tuple[str, list[os.DirEntry[str]]]]:
    """Yield each directory that has NetCDF files, with those files."""
    pending: list[tuple[str, tuple[str, ...]]] = [(root, (os.path.realpath(root),))]
    while pending:
        directory, trail = pending.pop()
        files = []
        for entry in _entries(directory) if directory != root else _entries_of_root(root):
            if _is_directory(entry):
                if below := _followed(entry, trail):
                    pending.append((entry.path, below))
            elif entry.name.endswith(".nc") and not entry.name.startswith(".") and not _is_special(entry):
                files.append(entry)
        if files:
            yield directory, files


def _entries(directory: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except OSError as error:  # one of many: no permission, a stale handle, a disk or a server that fails
        logger.warning("Cannot look into %s (%s); what is below it is left out.", directory, error.strerror)
        return []


def _entries_of_root(root: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(root) as entries:
            return list(entries)
    except OSError as error:
        raise BadInputError(f"The data directory {root} cannot be read: {error.strerror}.") from error


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir() and _is_text(entry.name)
    except OSError as error:  # a link to itself, or into what may not be looked into
        if not entry.name.endswith(".nc"):  # a file fails what reads it
            logger.warning("Cannot look at %s (%s); it is left out.", entry.path, error.strerror)
        return False


def _is_special(entry: os.DirEntry[str]) -> bool:
    """Whether it is a pipe, socket or device: whoever opens one to read it may wait for ever."""
    try:
        if entry.is_file():
            return False
        entry.stat()
    except OSError:  # a file that is gone or cannot be looked at fails what reads it
        return False
    logger.warning("%s is a pipe, socket or device; it is left out.", entry.path)
    return True


def _followed(entry: os.DirEntry[str], trail: tuple[str, ...]) -> tuple[str, ...]:
    """
    Return the trail of a directory: where each link on the way to it was met, and last where it really is.

    It is empty where a link leads back to a place that the way has come through.
    """
    if not entry.is_symlink():
        return (*trail[:-1], f"{trail[-1].rstrip(os.sep)}{os.sep}{entry.name}")
    target = os.path.realpath(entry.path)
    inside = target.rstrip(os.sep) + os.sep
    if any(f"{place}{os.sep}".startswith(inside) for place in trail):
        return ()
    return (*trail, target)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _fitting(values: tuple[str, ...], files: Sequence[os.DirEntry[str]]) -> list[os.DirEntry[str]]:
    """Return the files that belong to the data set that these directories name, in order of time."""
    if len(values) < len(FACETS) or not (_ERA.fullmatch(values[0]) and _VERSION.fullmatch(values[-1])):
        return []
    if not all(_NAME.fullmatch(value) for value in values):
        return []
    facets = dict(zip(FACETS, values, strict=True))
    stem = "_".join(facets[facet] for facet in _IN_FILE_NAME)
    # All names share the stem, and time ranges (YYYYMM-YYYYMM) sort as text.
    return sorted((file for file in files if _is_named(file.name, stem)), key=lambda file: file.name)


def _is_named(name: str, stem: str) -> bool:
    return name.startswith(stem) and _AFTER_STEM.fullmatch(name, len(stem)) is not None


def _dataset(values: tuple[str, ...], files: Sequence[os.DirEntry[str]]) -> Dataset:
    return Dataset(
        instance_id=".".join(values),
        facets=dict(zip(FACETS, values, strict=True)),
        files=tuple(Path(file.path) for file in files),
        fingerprint=fingerprint(_trace(file) for file in files),
        fingerprint_of="files",
    )


def _trace(file: os.DirEntry[str]) -> str:
    try:
        return trace(file.name, file.stat())
    except OSError as error:
        logger.warning("Cannot look at %s (%s); what reads it will fail.", file.path, error.strerror)
        return trace(file.name, error)


def _grouped(datasets: Sequence[Dataset], facets: Sequence[str]) -> dict[tuple[str, ...], list[Dataset]]:
    grouped: defaultdict[tuple[str, ...], list[Dataset]] = defaultdict(list)
    for dataset in datasets:
        grouped[tuple(dataset.facets[facet] for facet in facets)].append(dataset)
    return grouped


def _group(
    values: tuple[str, ...],
    own: list[Dataset],
    ensembles: Mapping[tuple[str, ...], list[Dataset]],
    requirement: DataRequirement,
) -> DataGroup:
    selectors = dict(zip(requirement.group_by, values, strict=True))
    ensemble = ensembles.get(tuple(selectors[facet] for facet in requirement.ensemble_by), [])
    names = {dataset.instance_id for dataset in own}
    others = (dataset for dataset in ensemble if dataset.instance_id not in names)
    return DataGroup(key=".".join(values), selectors=selectors, datasets=(*own, *others))
