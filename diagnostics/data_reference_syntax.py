"""The CMIP6 data reference syntax (DRS): what directories and files are called."""

import re
from collections.abc import Iterable, Sequence
from typing import Final

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

_IN_FILE_NAME: Final = ("variable_id", "table_id", "source_id", "experiment_id", "member_id", "grid_label")
_POSITIONS: Final = tuple(FACETS.index(facet) for facet in _IN_FILE_NAME)
_NAME: Final = "[A-Za-z0-9][A-Za-z0-9-]*"
_DIRECTORIES: Final = re.compile("/".join(["CMIP[0-9]+[A-Za-z]*", *[_NAME] * (len(FACETS) - 2), "v[0-9]+"]))
_AFTER_STEM: Final = re.compile(r"(_[0-9][0-9A-Za-z-]*)?\.nc")

LAYOUT: Final = "/".join(f"<{facet}>" for facet in FACETS) + "/<file>.nc"
"""The directories of a data set, for people."""
STEM_LAYOUT: Final = "_".join(f"<{facet}>" for facet in _IN_FILE_NAME)
"""The beginning of the names of its files, for people."""
RULES: Final = "\n".join([*FACETS, *_IN_FILE_NAME, _DIRECTORIES.pattern, _AFTER_STEM.pattern])
"""All that `fitting_files` depends on besides its arguments: what was found by other rules must be found anew."""


def fitting_files(directories: Sequence[str], names: Iterable[str]) -> tuple[str, ...]:
    """
    Return the names of the files that belong to the data set that some directories name, in order of time.

    Parameters
    ----------
    directories
        The names of the innermost directories, one for each facet; fewer name no data set.
    names
        The names of files in the innermost one.
    """
    if len(directories) < len(FACETS) or not _DIRECTORIES.fullmatch("/".join(directories)):
        return ()
    stem = "_".join(directories[position] for position in _POSITIONS)
    # All names share the stem, and time ranges (YYYYMM-YYYYMM) sort as text.
    return tuple(sorted(name for name in names if name.startswith(stem) and _AFTER_STEM.fullmatch(name, len(stem))))
