"""The real computation that every side of the overhead benchmark runs.

It knows nothing of climate-ref or Prefect, so any provider can call it.
"""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

SAMPLE_PACKAGE = "esmvaltool_sample_data"
TARGET_LEVEL_HPA = 850.0
MONTHS_PER_YEAR = 12
NETCDF_NAME = "annual_cycle.nc"
PLOT_NAME = "annual_cycle.png"


def sample_data_root() -> Path:
    """Find the CMIP6 tree of the installed `esmvaltool-sample-data` without importing it.

    Returns
    -------
    :
        The directory that holds `CMIP/<institute>/<model>/...`.

    Raises
    ------
    FileNotFoundError
        The package or its data is missing.
    """
    spec = importlib.util.find_spec(SAMPLE_PACKAGE)
    if spec is None or spec.origin is None:
        raise FileNotFoundError(f"{SAMPLE_PACKAGE} is not installed: pip install --no-deps esmvaltool-sample-data")
    root = Path(spec.origin).parent / "data" / "timeseries" / "CMIP6"
    if not root.is_dir():
        raise FileNotFoundError(f"no CMIP6 data under {root}")
    return root


def monthly_historical_ta(root: Path) -> dict[str, list[Path]]:
    """List the monthly (Amon) historical `ta` files of each model below a DRS tree.

    Parameters
    ----------
    root
        Directory to search, at any depth above the files.

    Returns
    -------
    :
        The files of each model (`source_id`) in order of time, models sorted by name.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    """
    models: dict[str, list[Path]] = {}
    for path in sorted(root.rglob("ta_Amon_*_historical_*.nc")):
        models.setdefault(path.name.split("_")[2], []).append(path)
    if not models:
        raise FileNotFoundError(f"no monthly historical ta files under {root}")
    return dict(sorted(models.items()))


def annual_cycle(paths: Sequence[Path | str], out_dir: Path | str) -> dict[str, float]:
    """Compute the annual cycle of one model's area-weighted mean temperature near 850 hPa.

    Writes `annual_cycle.nc` and `annual_cycle.png` into `out_dir`.

    Parameters
    ----------
    paths
        NetCDF files of monthly CMIP6 `ta` in K, one model, in any order.
    out_dir
        Existing directory for the output files.

    Returns
    -------
    :
        `amplitude` (largest minus smallest month, K), `mean` (K), `warmest_month` (1-12),
        `level` (the pressure level used, hPa) and `months` (time steps read).

    Raises
    ------
    ValueError
        There is no file, or a calendar month has no valid value.
    """
    if not paths:
        raise ValueError("no input files")
    series = xr.concat([_level_mean(Path(path)) for path in paths], dim="time").sortby("time")
    climatology = series.groupby("time.month").mean()
    values = climatology.values
    if values.size != MONTHS_PER_YEAR or not np.isfinite(values).all():
        raise ValueError(f"incomplete annual cycle from {paths[0]}: {values}")
    level_hpa = float(series["plev"]) / 100.0
    climatology.attrs = {"units": "K", "long_name": f"annual cycle of ta at {level_hpa:.0f} hPa"}
    climatology.to_dataset(name="ta").to_netcdf(Path(out_dir) / NETCDF_NAME)
    _plot(climatology, Path(out_dir) / PLOT_NAME)
    return {
        "amplitude": float(values.max() - values.min()),
        "mean": float(values.mean()),
        "warmest_month": float(climatology["month"][int(values.argmax())]),
        "level": level_hpa,
        "months": float(series.sizes["time"]),
    }


def _level_mean(path: Path) -> xr.DataArray:
    with xr.open_dataset(path, decode_times=xr.coders.CFDatetimeCoder(use_cftime=True)) as dataset:
        level = dataset["ta"].sel(plev=TARGET_LEVEL_HPA * 100.0, method="nearest")
        weights = level["lat"].copy(data=np.cos(np.deg2rad(level["lat"].values)))
        mean = level.weighted(weights).mean(("lat", "lon")).load()
    return mean.assign_coords(plev=round(float(mean["plev"]), 3))


def _plot(climatology: xr.DataArray, path: Path) -> None:
    figure = Figure(figsize=(5, 3), dpi=100)
    axes = figure.subplots()
    axes.plot(climatology["month"].values, climatology.values, marker="o")
    axes.set_xlabel("month")
    axes.set_ylabel("ta (K)")
    axes.set_title(str(climatology.attrs["long_name"]))
    figure.tight_layout()
    figure.savefig(path)
