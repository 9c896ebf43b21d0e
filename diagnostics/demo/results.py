"""What all diagnostics of the demo say in the same way: dimensions, statistics, bundles."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from pydantic import JsonValue

from climate_ref_prefect.diagnostics.definition import Dataset, ExecutionDefinition
from climate_ref_prefect.diagnostics.demo.reading import REGION, SAMPLINGS, Extent
from climate_ref_prefect.diagnostics.demo.record import Floats
from climate_ref_prefect.diagnostics.metric_bundle import MetricBundle
from climate_ref_prefect.diagnostics.output_bundle import OutputBundle, OutputFile, Provenance
from climate_ref_prefect.diagnostics.result import Series

GROUP_BY = ("source_id", "experiment_id", "member_id", "table_id", "variable_id", "grid_label")
"""One execution per data set, whatever grids and members a model has."""
DATA_FILE = "data.nc"
PLOT_FILE = "plot.png"


@dataclass(frozen=True, slots=True)
class Statistic:
    """A number that a diagnostic returns."""

    long_name: str
    units: str


STATISTICS = {
    "annual_mean": Statistic("Mean of the climatological months", "K"),
    "annual_range": Statistic("Warmest minus coldest climatological month", "K"),
    "first_harmonic_amplitude": Statistic("Amplitude of the first annual harmonic", "K"),
    "first_harmonic_phase": Statistic("Maximum of the first annual harmonic, months since 1 January", "month"),
    "first_harmonic_variance_fraction": Statistic(
        "Share of the first harmonic in the variance of the annual cycle", "1"
    ),
    "trend": Statistic("Linear trend of the annual means", "K decade-1"),
    "trend_standard_error": Statistic("Standard error of the trend, adjusted for autocorrelation", "K decade-1"),
    "trend_lower": Statistic("Lower end of the 95 % confidence interval of the trend", "K decade-1"),
    "trend_upper": Statistic("Upper end of the 95 % confidence interval of the trend", "K decade-1"),
    "p_value": Statistic("Two-sided p-value of the trend, adjusted for autocorrelation", "1"),
    "effective_sample_size": Statistic("Effective number of independent years", "1"),
    "years_used": Statistic("Complete years that were used", "1"),
    "bias": Statistic("Mean of the model minus mean of the other models", "K"),
    "bias_standardised": Statistic("Bias divided by the standard deviation among the other models", "1"),
    "centred_rmse": Statistic("Centred root mean square difference of the annual cycles", "K"),
    "correlation": Statistic("Correlation of the annual cycles", "1"),
    "standard_deviation_ratio": Statistic("Ratio of the standard deviations of the annual cycles", "1"),
    "reference_models": Statistic("Other models that were used", "1"),
    "standard_deviation": Statistic("Standard deviation of the daily anomalies", "K"),
    "standard_deviation_djf": Statistic("The same of December, January and February", "K"),
    "standard_deviation_jja": Statistic("The same of June, July and August", "K"),
    "lag1_autocorrelation": Statistic("Autocorrelation at lag 1: of annual residuals, of daily anomalies", "1"),
    "decorrelation_time": Statistic("Decorrelation time of a first-order autoregressive process", "day"),
    "percentile_05": Statistic("5th percentile of the daily anomalies", "K"),
    "percentile_95": Statistic("95th percentile of the daily anomalies", "K"),
}
"""Every statistic of the demo, by the name it has in the vocabulary."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The data set that an execution is about."""

    dataset: Dataset
    dimensions: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(cls, definition: ExecutionDefinition) -> Self:
        """Take the group's own data set, which is the first."""
        dataset = definition.datasets[0]
        dimensions = {facet: dataset.facets[facet] for facet in GROUP_BY}
        level = SAMPLINGS[dataset.facets["table_id"]].level_name
        return cls(dataset, {**dimensions, "region": REGION, "level": level})

    @property
    def title(self) -> str:
        """The model run, as the first words of a plot's title."""
        return " ".join(self.dimensions[facet] for facet in ("source_id", "experiment_id", "member_id"))

    def place(self, extent: Extent) -> str:
        """Return where the numbers are from, as the second line of a plot's title."""
        table, level = self.dimensions["table_id"], self.dimensions["level"]
        return f"Air temperature at {level}, mean of {extent} ({table})"

    def metrics(
        self,
        metric: str,
        values: Mapping[str, float | None],
        extent: Extent,
        notes: Mapping[str, JsonValue],
    ) -> MetricBundle:
        """Return a bundle of statistics, each with its units and with what has to be said of it."""
        address = {**self.dimensions, "metric": metric}
        dimensions: dict[str, dict[str, dict[str, JsonValue]]] = {name: {value: {}} for name, value in address.items()}
        dimensions["statistic"] = {
            name: {"long_name": STATISTICS[name].long_name, "units": STATISTICS[name].units} for name in values
        }
        results: dict[str, JsonValue] = dict(values)
        for value in reversed(address.values()):
            results = {value: results}
        return MetricBundle(
            json_structure=(*address, "statistic"),
            dimensions=dimensions,
            results=results,
            notes={"area": str(extent), **notes},
            disclaimer={"data": extent.doubt} if extent.doubt else {},
        )

    def series(self, metric: str, index: tuple[str, list[int]], values: Floats, units: str, long_name: str) -> Series:
        """Return a series of one metric; the index is its name and its values."""
        return Series(
            dimensions={**self.dimensions, "metric": metric},
            index_name=index[0],
            index=tuple(index[1]),
            values=tuple(values.tolist()),
            attributes={"units": units, "long_name": long_name},
        )

    def outputs(self, name: str, description: str, datasets: tuple[Dataset, ...]) -> OutputBundle:
        """Return the bundle of the data file and the plot that every diagnostic of the demo writes."""
        data = OutputFile(
            filename=DATA_FILE, long_name=f"{name}: data", description=description, dimensions=self.dimensions
        )
        plot = OutputFile(
            filename=PLOT_FILE, long_name=f"{name}: plot", description=description, dimensions=self.dimensions
        )
        return OutputBundle(
            data={"data": data},
            plots={"plot": plot},
            provenance=Provenance(modeldata=tuple(dataset.instance_id for dataset in datasets)),
        )
