"""Run all diagnostics once on made-up data, so that forked executions find fonts and libraries loaded."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from climate_ref_prefect.diagnostics.demo.annual_cycle import AnnualCycleDiagnostic
from climate_ref_prefect.diagnostics.demo.build_bundles import GROUP_BY
from climate_ref_prefect.diagnostics.demo.calculations.bootstrap import Bootstrap
from climate_ref_prefect.diagnostics.demo.calculations.time_series import MONTHS, Record, Years
from climate_ref_prefect.diagnostics.demo.daily_variability import DailyVariabilityDiagnostic
from climate_ref_prefect.diagnostics.demo.ensemble_bias import EnsembleBiasDiagnostic
from climate_ref_prefect.diagnostics.demo.linear_trend import LinearTrendDiagnostic
from climate_ref_prefect.diagnostics.demo.read_temperature import Extent
from climate_ref_prefect.diagnostics.demo.temperature_diagnostic import Reading
from climate_ref_prefect.diagnostics.execution_definition import Dataset, ExecutionDefinition

_DAYS_OF_MONTH = 30
"""In the calendar of 360 days."""
_RESAMPLES = 100
_OTHERS = 5


def rehearse() -> None:
    """Compute, draw and write everything; what is written is removed again."""
    monthly, daily = _reading("Amon", Years(1950, 2014), steps=1), _reading("day", Years(2000, 2002), _DAYS_OF_MONTH)
    cycles = monthly.record.monthly_means()[:_OTHERS]
    with TemporaryDirectory() as root:
        AnnualCycleDiagnostic().describe(monthly, _new(root, "cycle"))
        LinearTrendDiagnostic().describe(monthly, _new(root, "trend"))
        EnsembleBiasDiagnostic().describe(monthly, cycles, [], _new(root, "bias"))
        DailyVariabilityDiagnostic().describe(daily, _new(root, "variability"))


def _new(root: str, name: str) -> Path:
    directory = Path(root, name)
    directory.mkdir()
    return directory


def _reading(table: str, years: Years, steps: int) -> Reading:
    """Make up a record with an annual cycle and some noise, of so many values per month."""
    bootstrap = Bootstrap.seeded("rehearsal", _RESAMPLES)
    months = np.arange((years.last + 1 - years.first) * MONTHS * steps) // steps
    cycle = 260 + 12 * np.cos(2 * np.pi * (months % MONTHS) / MONTHS)
    record = Record(
        values=cycle + bootstrap.generator.normal(size=len(months)),
        year=years.first + months // MONTHS,
        month=months % MONTHS + 1,
        days=np.full(len(months), _DAYS_OF_MONTH // steps),
        calendar="360_day",
    )
    extent = Extent(points=1, south=80.0, north=90.0, coldest=float(record.values.min()))
    return Reading(_definition(table), record, extent, bootstrap)


def _definition(table: str) -> ExecutionDefinition:
    facets = {**dict.fromkeys(GROUP_BY, "rehearsal"), "table_id": table}
    dataset = Dataset(instance_id="rehearsal", facets=facets, files=(Path("rehearsal.nc"),), fingerprint="")
    return ExecutionDefinition(
        provider="demo",
        provider_version="0",
        diagnostic="rehearsal",
        diagnostic_version="0",
        key="rehearsal",
        selectors={},
        datasets=(dataset,),
    )
