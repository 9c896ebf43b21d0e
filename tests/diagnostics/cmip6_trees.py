"""Made-up CMIP6 trees."""

from pathlib import Path

from climate_ref_prefect.diagnostics.data_catalogue import DataGroup
from climate_ref_prefect.diagnostics.data_reference_syntax import FACETS

DRS = "CMIP6/CMIP/CCCma/CanESM5/historical/r1i1p1f1/Amon/ta/gn/v20190429"
STEM = "ta_Amon_CanESM5_historical_r1i1p1f1_gn"


def add(root: Path, drs: str = DRS, *periods: str) -> list[Path]:
    """Make the files of a data set; they are named after their directories, as the DRS has it."""
    facets = dict(zip(FACETS, drs.split("/")[-len(FACETS) :], strict=True))
    parts = ("variable_id", "table_id", "source_id", "experiment_id", "member_id", "grid_label")
    stem = "_".join(facets[part] for part in parts)
    directory = root / drs
    directory.mkdir(parents=True, exist_ok=True)
    files = [directory / f"{stem}_{period}.nc" for period in periods or ("185001-201412",)]
    for file in files:
        file.write_text("not NetCDF: nobody opens it")
    return files


def keys(groups: tuple[DataGroup, ...]) -> list[str]:
    return [group.key for group in groups]
