"""Make REF's variables that name paths absolute, since workers inherit them and run in other directories."""

import os
from pathlib import Path
from typing import Final

_ROOTS: Final = ("REF_LOG_ROOT", "REF_SCRATCH_ROOT", "REF_SOFTWARE_ROOT", "REF_RESULTS_ROOT")
_OTHERS: Final = ("REF_CONFIGURATION", "REF_DATASET_CACHE_DIR", "REF_DIMENSIONS_CV_PATH", "REF_IGNORE_DATASETS_FILE")


def make_path_variables_absolute() -> None:
    """Replace relative paths in the environment of this process, which batch jobs get as well, by absolute ones."""
    for name in (*_ROOTS, *_OTHERS):
        if value := os.environ.get(name):
            path = Path(os.path.expandvars(value))
            # As REF reads them: of the roots it does not take `~` for the home of the user.
            os.environ[name] = str((path if name in _ROOTS else path.expanduser()).absolute())
