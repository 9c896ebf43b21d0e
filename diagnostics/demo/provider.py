"""The demo provider, entry point `demo`: its diagnostics, and its warm-up before executions are forked."""

from climate_ref_prefect.diagnostics.demo.annual_cycle import AnnualCycleDiagnostic
from climate_ref_prefect.diagnostics.demo.daily_variability import DailyVariabilityDiagnostic
from climate_ref_prefect.diagnostics.demo.ensemble_bias import EnsembleBiasDiagnostic
from climate_ref_prefect.diagnostics.demo.linear_trend import LinearTrendDiagnostic
from climate_ref_prefect.diagnostics.demo.warm_up import rehearse
from climate_ref_prefect.diagnostics.provider import DiagnosticProvider


class DemoProvider(DiagnosticProvider):
    """Diagnostics of air temperature near the North Pole, for the sample data and for trying things out."""

    def __init__(self) -> None:
        super().__init__(
            slug="demo",
            name="Demo: air temperature near the North Pole",
            version="1",
            diagnostics=(
                AnnualCycleDiagnostic(),
                LinearTrendDiagnostic(),
                EnsembleBiasDiagnostic(),
                DailyVariabilityDiagnostic(),
            ),
        )

    def warm_up(self) -> None:
        """Have fonts found, glyphs measured and HDF5 set up, none of which a forked child then does again."""
        rehearse()


provider = DemoProvider()
