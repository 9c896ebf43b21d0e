"""Executions that are ready to run, from the shipped suite."""

from climate_ref_prefect.testing.executions import (
    IMPATIENT,
    QUICK,
    Prepare,
    define,
)

__all__ = ["IMPATIENT", "QUICK", "Prepare", "define"]
