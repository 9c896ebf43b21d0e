"""Areas of the cells of a longitude-latitude grid."""

import numpy as np

from climate_ref_prefect.diagnostics.demo.times import Floats
from climate_ref_prefect.diagnostics.errors import DiagnosticError

_POLE = 90.0
_HALF_TURN = 180.0


def bounds_from_centres(centres: Floats) -> Floats:
    """
    Make cell bounds for a coordinate that comes without them: half-way between neighbours.

    Parameters
    ----------
    centres
        Coordinate in degrees, shape (cell), at least two cells.

    Returns
    -------
    Bounds in degrees, shape (cell, 2); the outermost cells are as wide as their neighbours' distance.
    """
    if centres.size < 2:  # noqa: PLR2004 - two centres make a distance
        raise DiagnosticError("A coordinate of a single cell has no bounds, so the area of its cells is unknown.")
    inner = (centres[:-1] + centres[1:]) / 2
    edges = np.concatenate([[2 * centres[0] - inner[0]], inner, [2 * centres[-1] - inner[-1]]])
    return np.stack([edges[:-1], edges[1:]], axis=1)


def area_weights(latitude_bounds: Floats, longitude_bounds: Floats) -> Floats:
    """
    Return the share of each cell in the area of all: difference of sines of latitude times width in longitude.

    Parameters
    ----------
    latitude_bounds
        Degrees north, shape (lat, 2); what lies beyond a pole is cut off.
    longitude_bounds
        Degrees east, shape (lon, 2).

    Returns
    -------
    Weights that sum to 1, shape (lat, lon).
    """
    edges = np.sin(np.deg2rad(np.clip(latitude_bounds, -_POLE, _POLE)))
    heights = np.abs(edges[:, 1] - edges[:, 0])
    widths = np.abs(longitude_bounds[:, 1] - longitude_bounds[:, 0])
    if widths.size > 1:
        widths = np.where(widths > _HALF_TURN, 2 * _HALF_TURN - widths, widths)  # a cell across the date line
    areas = heights[:, np.newaxis] * widths[np.newaxis, :]
    total = areas.sum()
    if not total > 0:
        raise DiagnosticError("The cells of the grid have no area: their bounds are equal.")
    return areas / total
