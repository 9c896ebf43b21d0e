"""Division that gives NaN where the divisor is not positive."""

import numpy as np

from climate_ref_prefect.diagnostics.demo.calculations.time_series import Floats


def ratio(part: Floats | float, whole: Floats | float) -> Floats:
    """Return part / whole, NaN where the whole is not positive."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.greater(whole, 0), np.divide(part, whole), np.nan)
