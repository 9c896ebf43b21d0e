"""Every number that the demo reports, by the name it has in the vocabulary."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Statistic:
    """A number that a diagnostic reports, once or along an index."""

    long_name: str
    units: str


_ESTIMATES = {
    "annual_mean": Statistic("Mean of the climatological months", "K"),
    "annual_range": Statistic("Warmest minus coldest climatological month", "K"),
    "first_harmonic_amplitude": Statistic("Amplitude of the first annual harmonic", "K"),
    "first_harmonic_phase": Statistic("Maximum of the first annual harmonic, months since 1 January", "month"),
    "first_harmonic_variance_fraction": Statistic(
        "Share of the first harmonic in the variance of the annual cycle", "1"
    ),
    "trend": Statistic("Linear trend of the annual means", "K decade-1"),
    "effective_sample_size": Statistic("Effective number of independent years", "1"),
    "bias": Statistic("Mean of the model minus mean of the other models", "K"),
    "bias_standardised": Statistic("Bias divided by the standard deviation among the other models", "1"),
    "centred_rmse": Statistic("Centred root mean square difference of the annual cycles", "K"),
    "correlation": Statistic("Correlation of the annual cycles", "1"),
    "standard_deviation_ratio": Statistic("Ratio of the standard deviations of the annual cycles", "1"),
    "standard_deviation": Statistic("Standard deviation of the daily anomalies", "K"),
    "standard_deviation_djf": Statistic(
        "Standard deviation of the daily anomalies of December, January and February", "K"
    ),
    "standard_deviation_jja": Statistic("Standard deviation of the daily anomalies of June, July and August", "K"),
    "lag1_autocorrelation": Statistic("Autocorrelation at lag 1: of annual residuals, of daily anomalies", "1"),
    "decorrelation_time": Statistic("Decorrelation time of a first-order autoregressive process", "day"),
    "percentile_05": Statistic("5th percentile of the daily anomalies", "K"),
    "percentile_95": Statistic("95th percentile of the daily anomalies", "K"),
    "climatology": Statistic("Climatological monthly mean", "K"),
    "trend_line": Statistic("Height of the linear trend", "K"),
    "autocorrelation": Statistic("Autocorrelation of the daily anomalies", "1"),
}
_OTHERS = {
    "trend_standard_error": Statistic("Standard error of the trend, adjusted for autocorrelation", "K decade-1"),
    "p_value": Statistic("Two-sided p-value of the trend, adjusted for autocorrelation", "1"),
    "years_used": Statistic("Complete years that were used", "1"),
    "reference_models": Statistic("Other models that were used", "1"),
    "yearly_mean": Statistic("Mean of a year", "K"),
}
_SECOND_OPINION = {"trend_bootstrap": Statistic("Linear trend of the annual means, by resampling years", "K decade-1")}


def _ends(estimates: Mapping[str, Statistic]) -> dict[str, Statistic]:
    return {
        f"{name}_{end}": Statistic(f"{estimate.long_name}: {end} end of the 95 % confidence interval", estimate.units)
        for name, estimate in estimates.items()
        for end in ("lower", "upper")
    }


STATISTICS = {**_ESTIMATES, **_OTHERS, **_ends(_ESTIMATES), **_ends(_SECOND_OPINION)}
