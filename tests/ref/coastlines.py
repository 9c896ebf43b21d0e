"""Write stand-ins for the shapefiles of Natural Earth, which cartopy would download: one box each, for maps to have."""

from collections.abc import Callable
from pathlib import Path

import shapefile

LINES = {"physical": ("coastline", "rivers_lake_centerlines"), "cultural": ("admin_0_boundary_lines_land",)}
AREAS = {"physical": ("land", "ocean", "lakes"), "cultural": ("admin_0_countries",)}
SCALES = ("110m", "50m", "10m")
BOX = [[(-20.0, -30.0), (-20.0, 30.0), (50.0, 30.0), (50.0, -30.0), (-20.0, -30.0)]]


def write_coastlines(cartopy_data: Path) -> None:
    """Write them where cartopy looks, which is the directory that CARTOPY_DATA_DIR names."""
    for category, lines in LINES.items():
        for scale in SCALES:
            directory = cartopy_data / "shapefiles" / "natural_earth" / category
            directory.mkdir(parents=True, exist_ok=True)
            for name in lines:
                with shapefile.Writer(str(directory / f"ne_{scale}_{name}"), shapeType=shapefile.POLYLINE) as file:
                    _add(file, file.line)
            for name in AREAS[category]:
                with shapefile.Writer(str(directory / f"ne_{scale}_{name}"), shapeType=shapefile.POLYGON) as file:
                    _add(file, file.poly)


def _add(file: shapefile.Writer, draw: Callable[[list[list[tuple[float, float]]]], None]) -> None:
    file.field("name", "C")
    draw(BOX)
    file.record("box")
