"""
A catalogue of the data sets below a directory, read from the paths of a CMIP6 data reference syntax (DRS) tree.

No file is opened: the facets of a data set follow from its path alone, so that an unreadable file
fails the executions that read it and nothing else.
"""

import logging
import os
import stat
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from climate_ref_prefect.diagnostics.data_reference_syntax import FACETS, LAYOUT, STEM_LAYOUT
from climate_ref_prefect.diagnostics.data_requirement import DataRequirement
from climate_ref_prefect.diagnostics.directory_listing import DirectoryListings, is_text
from climate_ref_prefect.diagnostics.directory_walk import NetcdfDirectory, innermost_names, netcdf_directories
from climate_ref_prefect.diagnostics.errors import BadInputError, UnknownNameError
from climate_ref_prefect.diagnostics.execution_definition import Dataset
from climate_ref_prefect.diagnostics.found_dataset import FoundDataset, found_dataset

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DataGroup:
    """The data sets that one execution reads."""

    key: str
    """Name of the group: the values of its group-by, joined by dots."""
    selectors: Mapping[str, str]
    """The group-by facets and their values."""
    datasets: tuple[Dataset, ...]
    """The group's own data sets, followed by those of the ensemble if the requirement asks for one."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All data sets below a directory, in the order of their names."""

    root: Path
    found: tuple[FoundDataset, ...]

    @property
    def datasets(self) -> tuple[Dataset, ...]:
        """All data sets. Each is made when it is first asked for, because a diagnostic often wants few of them."""
        return tuple(one.dataset for one in self.found)

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
        accepted = [one.dataset for one in self.found if requirement.accepts(one.facets)]
        own = _grouped(accepted, requirement.group_by)
        ensembles = _grouped(accepted, requirement.ensemble_by) if requirement.with_ensemble else {}
        groups = (_group(values, own[values], ensembles, requirement) for values in sorted(own))
        return tuple(group for group in groups if len(group.datasets) >= requirement.at_least)


def scan(root: Path, listings: DirectoryListings | None = None) -> Catalogue:
    """
    Find the data sets below a directory, each in its latest version.

    Directories that are symbolic links are followed. A directory that cannot be read is left out with a warning that
    says why, and so is a pipe, socket or device. A file that cannot be examined fails the executions that read it. If
    a data set exists twice in the same version, the path that sorts first is taken. Files whose name does not repeat
    the facets of their directories, as the DRS demands, are left out.

    Parameters
    ----------
    root
        A directory at, above or below the one that is named for the MIP era (`CMIP6`).
    listings
        What earlier scans have found in directories. A directory that has not changed since is not listed again; the
        size and time of each file are read anyway.

    Raises
    ------
    BadInputError
        If the directory does not exist, is a file, cannot be read, or holds no data set.
    """
    root = _checked(root)
    latest: dict[str, tuple[tuple[int, str], NetcdfDirectory]] = {}
    strangers: list[str] = []
    # In the order of the paths, not of the file system, so that the same one of two replicas is taken each time.
    for found in sorted(netcdf_directories(str(root), listings), key=attrgetter("path")):
        if found.strangers:
            strangers += [f"{found.path}/{name}" for name in found.strangers]
        if found.fitting:
            *drs, version = innermost_names(found.path)
            key, rank = "\0".join(drs), (int(version[1:]), version)  # Sorts as the names do, one after the other.
            if key not in latest or rank > latest[key][0]:
                latest[key] = (rank, found)
    if not latest:
        raise BadInputError(_nothing_found(root, strangers))
    if strangers:
        logger.info("%d .nc files below %s do not fit %s, e.g. %r", len(strangers), root, LAYOUT, strangers[0])
    return Catalogue(root=root, found=tuple(found_dataset(latest[key][1]) for key in sorted(latest)))


def _checked(root: Path) -> Path:
    # Not resolve(), which would replace the links in the user's paths.
    absolute = Path(os.path.abspath(root))  # noqa: PTH100
    try:
        mode = absolute.stat().st_mode
    except FileNotFoundError:
        raise BadInputError(f"The data directory {absolute} does not exist.") from None
    except (OSError, ValueError) as error:
        raise BadInputError(f"The data directory {str(absolute)!r} cannot be read: {error}.") from error
    if not stat.S_ISDIR(mode):
        raise BadInputError(f"The data directory {absolute} is a file; give the directory that holds the CMIP6 tree.")
    if not is_text(str(absolute)):
        raise BadInputError(f"The path {str(absolute)!r} is not UTF-8, so no JSON file can name what is below it.")
    return absolute


def _nothing_found(root: Path, strangers: Sequence[str]) -> str:
    message = f"There are no data sets below {root}. Looked for {LAYOUT} with files {STEM_LAYOUT}*.nc; "
    if not strangers:
        return message + "found no .nc file at all."
    return message + f"found {len(strangers)} .nc files that do not fit, for example {strangers[0]!r}."


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
