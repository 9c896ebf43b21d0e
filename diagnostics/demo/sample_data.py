"""Find the sample data: CMIP6 air temperature, packaged on PyPI as `esmvaltool-sample-data`."""

from importlib.util import find_spec
from pathlib import Path

from climate_ref_prefect.diagnostics.errors import BadInputError

_PACKAGE = "esmvaltool_sample_data"
_TREE = Path("data", "timeseries")


def sample_data_root() -> Path:
    """
    Return the directory that holds the CMIP6 tree of the sample data; imports nothing.

    Raises
    ------
    BadInputError
        If the package is not installed, or has no such directory.
    """
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise BadInputError("The sample data is not installed. Get it with: pip install climate-ref-prefect[demo]")
    root = Path(spec.origin).parent / _TREE
    if not root.is_dir():
        raise BadInputError(f"The installed {_PACKAGE} has no directory {root}; another version of it has.")
    return root
