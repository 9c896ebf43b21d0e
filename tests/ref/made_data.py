"""
Write small CMIP6 files and one obs4REF file that REF accepts: `python -m tests.ref.made_data DIRECTORY`.

Three models have monthly tas, rsut and tos of 2000 to 2014 and the areas of their cells; the observation is a field of
thetao that stands in for WOA-23. The numbers follow from formulas, so every machine writes the same values.
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import cftime
import numpy as np
import xarray as xr
from numpy.typing import NDArray

FIRST_YEAR = 2000
YEARS = 15
EARTH_RADIUS_M = 6_371_000.0

Field = NDArray[np.float32]


@dataclass(frozen=True)
class Model:
    """One source of CMIP6 data: how REF names it, how fine its grid is, and how much warmer than the others it is."""

    source_id: str
    institution_id: str
    calendar: str
    rows: int
    warmer_by: float
    member: int = 1

    @property
    def variant_label(self) -> str:
        """The member as CMIP6 writes it."""
        return f"r{self.member}i1p1f1"


MODELS = (
    Model("ACCESS-ESM1-5", "CSIRO", "proleptic_gregorian", 12, 0.0),
    Model("CanESM5", "CCCma", "365_day", 16, 1.5),
    Model("MIROC6", "MIROC", "standard", 20, -0.5),
)


@dataclass(frozen=True)
class Variable:
    """One variable of CMIP6, with the names that the CF conventions and the tables of CMIP6 give it."""

    name: str
    table: str
    realm: str
    units: str
    standard_name: str
    long_name: str
    cell_methods: str


TAS = Variable(
    "tas", "Amon", "atmos", "K", "air_temperature", "Near-Surface Air Temperature", "area: time: mean"
)  # fmt: skip
RSUT = Variable(
    "rsut", "Amon", "atmos", "W m-2", "toa_outgoing_shortwave_flux", "TOA Outgoing Shortwave Radiation",
    "area: time: mean",
)  # fmt: skip
TOS = Variable(
    "tos", "Omon", "ocean", "degC", "sea_surface_temperature", "Sea Surface Temperature",
    "area: mean where sea time: mean",
)  # fmt: skip
AREACELLA = Variable(
    "areacella", "fx", "atmos land", "m2", "cell_area", "Grid-Cell Area for Atmospheric Grid Variables", "area: sum"
)


def write_cmip6(directory: Path) -> list[Path]:
    """Write the files of all models below `directory`, in the tree that CMIP6 prescribes."""
    written = []
    for model in MODELS:
        for variable, values in ((TAS, _tas(model)), (RSUT, _rsut(model)), (TOS, _tos(model))):
            written.append(_write_cmip6(directory, model, variable, values))
        written.append(_write_cmip6(directory, model, AREACELLA, _areas(model.rows)))
    return written


def write_members(directory: Path, count: int) -> list[Path]:
    """Write tas of so many members of one model, on a grid of eight cells: for executions that compute nothing."""
    coarse = replace(MODELS[0], rows=2)
    members = (replace(coarse, member=number) for number in range(1, count + 1))
    return [_write_cmip6(directory, member, TAS, _tas(member)) for member in members]


def write_obs4ref(directory: Path) -> list[Path]:
    """Write thetao at two depths as REF's own collection of observations holds it."""
    rows, depths, months = 36, np.array([0.0, 10.0]), np.arange(10 * 12)
    surface = _seasons(rows, months.size, mean=27.0, poles=-28.0, swing=2.0)
    values = surface[:, None] - 0.05 * depths[None, :, None, None].astype("f4")
    dataset = xr.Dataset(
        {
            "thetao": (
                ("time", "depth", "lat", "lon"),
                values,
                {
                    "units": "degC",
                    "standard_name": "sea_water_potential_temperature",
                    "long_name": "Sea Water Potential Temperature",
                },
            )
        },
        coords={
            **_coordinates(rows),
            "depth": (
                "depth",
                depths,
                {"units": "m", "axis": "Z", "positive": "down", "standard_name": "depth"},
            ),
            **_times(2005, months.size, "365_day"),
        },
        attrs=OBSERVATION,
    )
    file = directory / "obs4REF/NOAA-NCEO-OCL/WOA-23/mon/thetao/gn/v20251024/thetao_mon_WOA-23_REF_gn_200501-201412.nc"
    return [_write(dataset, file)]


OBSERVATION = {
    "activity_id": "obs4REF",
    "frequency": "mon",
    "grid": "5x5 degree",
    "grid_label": "gn",
    "institution_id": "NOAA-NCEO-OCL",
    "nominal_resolution": "500 km",
    "realm": "ocean",
    "product": "observations",
    "source_id": "WOA-23",
    "source_type": "gridded_insitu",
    "source_version_number": "1",
    "variable_id": "thetao",
    "variant_label": "REF",
}


def _tas(model: Model) -> Field:
    return _seasons(model.rows, YEARS * 12, mean=301.0 + model.warmer_by, poles=-50.0, swing=12.0)


def _rsut(model: Model) -> Field:
    return _seasons(model.rows, YEARS * 12, mean=95.0 - model.warmer_by, poles=30.0, swing=40.0)


def _tos(model: Model) -> Field:
    return _seasons(model.rows, YEARS * 12, mean=28.0 + model.warmer_by, poles=-29.0, swing=2.5)


def _seasons(rows: int, months: int, *, mean: float, poles: float, swing: float) -> Field:
    """Return a field that changes from the equator to the poles, with the seasons, and a little from year to year."""
    latitudes, longitudes = np.deg2rad(_centres(rows, -90.0, 180.0)), np.deg2rad(_centres(2 * rows, 0.0, 360.0))
    month = np.arange(months, dtype="f8")[:, None, None]
    season = -swing * np.sin(latitudes)[None, :, None] * np.cos(2 * np.pi * (month % 12) / 12)
    shape = poles * np.sin(latitudes)[None, :, None] ** 2 + 0.5 * np.cos(longitudes)[None, None, :]
    years = 0.02 * month / 12 + 0.1 * np.sin(month / 7)
    return np.asarray(mean + shape + season + years, dtype="f4")


def _areas(rows: int) -> Field:
    edges = np.sin(np.deg2rad(np.linspace(-90.0, 90.0, rows + 1)))
    area = EARTH_RADIUS_M**2 * np.diff(edges) * (2 * np.pi / (2 * rows))
    return np.asarray(np.repeat(area[:, None], 2 * rows, axis=1), dtype="f4")


def _centres(cells: int, start: float, width: float) -> NDArray[np.float64]:
    return start + (np.arange(cells) + 0.5) * width / cells


def _write_cmip6(directory: Path, model: Model, variable: Variable, values: Field) -> Path:
    monthly = values.ndim == 3
    attributes = {"units": variable.units, "standard_name": variable.standard_name, "long_name": variable.long_name}
    attributes |= {"cell_methods": variable.cell_methods, "cell_measures": "area: areacella"} if monthly else {}
    coordinates = _coordinates(model.rows) | (_times(FIRST_YEAR, len(values), model.calendar) if monthly else {})
    if variable is TAS:
        height = {"units": "m", "axis": "Z", "positive": "up", "standard_name": "height", "long_name": "height"}
        coordinates["height"] = ((), 2.0, height)
    dimensions = ("time", "lat", "lon") if monthly else ("lat", "lon")
    dataset = xr.Dataset({variable.name: (dimensions, values, attributes)}, coordinates, _globals(model, variable))
    period = f"_{FIRST_YEAR}01-{FIRST_YEAR + YEARS - 1}12" if monthly else ""
    run = f"{model.institution_id}/{model.source_id}/historical/{model.variant_label}"
    name = f"{variable.name}_{variable.table}_{model.source_id}_historical_{model.variant_label}_gn{period}.nc"
    return _write(dataset, directory / "CMIP6/CMIP" / run / variable.table / variable.name / "gn/v20200101" / name)


def _globals(model: Model, variable: Variable) -> dict[str, object]:
    """Return the attributes that CMIP6 requires of a file, as far as REF, ESMValTool or ILAMB read them."""
    return {
        "Conventions": "CF-1.7 CMIP-6.2",
        "activity_id": "CMIP",
        "branch_method": "standard",
        "branch_time_in_child": 0.0,
        "branch_time_in_parent": 0.0,
        "experiment": "all-forcing simulation of the recent past",
        "experiment_id": "historical",
        "external_variables": "areacella",
        "forcing_index": np.int32(1),
        "frequency": "fx" if variable.table == "fx" else "mon",
        "grid": "regular latitudes and longitudes",
        "grid_label": "gn",
        "initialization_index": np.int32(1),
        "institution_id": model.institution_id,
        "mip_era": "CMIP6",
        "nominal_resolution": "1000 km",
        "parent_activity_id": "CMIP",
        "parent_experiment_id": "piControl",
        "parent_source_id": model.source_id,
        "parent_time_units": "days since 1850-01-01",
        "parent_variant_label": "r1i1p1f1",
        "physics_index": np.int32(1),
        "product": "model-output",
        "realization_index": np.int32(model.member),
        "realm": variable.realm,
        "source_id": model.source_id,
        "source_type": "AOGCM",
        "sub_experiment": "none",
        "sub_experiment_id": "none",
        "table_id": variable.table,
        "variable_id": variable.name,
        "variant_label": model.variant_label,
    }


def _coordinates(rows: int) -> dict[str, object]:
    """Return latitudes and longitudes with their bounds."""
    found: dict[str, object] = {}
    for name, long_name, axis, cells, start, width in (
        ("lat", "latitude", "Y", rows, -90.0, 180.0),
        ("lon", "longitude", "X", 2 * rows, 0.0, 360.0),
    ):
        centres, half = _centres(cells, start, width), width / cells / 2
        units = "degrees_north" if axis == "Y" else "degrees_east"
        described = {"units": units, "standard_name": long_name, "axis": axis, "bounds": f"{name}_bnds"}
        found[name] = (name, centres, described | {"long_name": long_name})
        found[f"{name}_bnds"] = ((name, "bnds"), np.stack([centres - half, centres + half], axis=1))
    return found


def _times(first_year: int, months: int, calendar: str) -> dict[str, object]:
    """Return the middle of each month with its bounds, in days, as files of CMIP6 hold them."""
    units = f"days since {first_year}-01-01"
    starts = [
        cftime.datetime(first_year + month // 12, month % 12 + 1, 1, calendar=calendar) for month in range(months + 1)
    ]
    edges = np.asarray(cftime.date2num(starts, units, calendar), dtype="f8")
    bounds = np.stack([edges[:-1], edges[1:]], axis=1)
    described = {"units": units, "calendar": calendar, "axis": "T", "standard_name": "time", "bounds": "time_bnds"}
    return {"time": ("time", bounds.mean(axis=1), described), "time_bnds": (("time", "bnds"), bounds)}


def _write(dataset: xr.Dataset, file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    for name in dataset.variables:
        dataset[name].encoding["_FillValue"] = 1e20 if name in dataset.data_vars else None
    dataset.to_netcdf(file, format="NETCDF4", unlimited_dims=["time"] if "time" in dataset.dims else [])
    return file


if __name__ == "__main__":
    for path in [*write_cmip6(Path(sys.argv[1])), *write_obs4ref(Path(sys.argv[1]))]:
        sys.stdout.write(f"{path}\n")
