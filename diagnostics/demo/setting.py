"""The periods that the demo looks at and what its executions need."""

from datetime import timedelta

from climate_ref_prefect.diagnostics.demo.times import Years
from climate_ref_prefect.diagnostics.resources import ResourceHint

NORMAL: Years = (1981, 2010)
"""A climatological standard normal (WMO-No. 1203, 2017), which every record of the sample data reaches into."""

TREND: Years = (1950, 2014)
"""The longest period that the monthly records of all models have, so that their trends can be compared."""

MINIMUM_YEARS = 10
"""Fewer years make no trend, and no climatology to hold others against."""

SMALL = ResourceHint(memory_mb=500, cpu=1, wall_clock=timedelta(minutes=10))


def period(years: Years) -> str:
    """Write a period for people."""
    return f"{years[0]}-{years[1]}"
