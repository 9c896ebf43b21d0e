"""Where the public sample data lie: the PyPI package `esmvaltool-sample-data`."""

from importlib.util import find_spec
from pathlib import Path

from climate_ref_prefect.diagnostics.errors import BadInputError

_PACKAGE = "esmvaltool_sample_data"


def sample_data_root() -> Path:
    """
    Return the directory of the sample data that holds `CMIP6`, without importing their package.

    Raises
    ------
    BadInputError
        If the package is not installed, or has no data where they are expected.
    """
    spec = find_spec(_PACKAGE)  # its own import would need iris, which reading the files does not
    if spec is None or not spec.submodule_search_locations:
        raise BadInputError(
            "The demo needs the sample data of CMIP6, which are not installed: "
            "pip install 'climate-ref-prefect[demo]' (the package esmvaltool-sample-data)."
        )
    root = Path(spec.submodule_search_locations[0], "data", "timeseries")
    if not (root / "CMIP6").is_dir():
        raise BadInputError(f"The package esmvaltool-sample-data is installed, but {root / 'CMIP6'} is not there.")
    return root
