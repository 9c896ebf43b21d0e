"""The statistics that the demo computes: what each is called and in which units it is."""

from dataclasses import dataclass

KELVIN = "K"
ONE = "1"


@dataclass(frozen=True, slots=True)
class Statistic:
    """How a statistic is shown to people."""

    long_name: str
    units: str


STATISTICS = {
    "annual_mean": Statistic("Mean of the climatological year", KELVIN),
    "annual_range": Statistic("Warmest minus coldest climatological month", KELVIN),
    "first_harmonic_amplitude": Statistic("Amplitude of the first annual harmonic", KELVIN),
    "first_harmonic_phase": Statistic("Maximum of the first annual harmonic, months after 1 January", "month"),
    "first_harmonic_variance_fraction": Statistic("Variance of the annual cycle in its first harmonic", ONE),
    "years_used": Statistic("Number of years used", ONE),
    "trend": Statistic("Linear trend of annual means", "K decade-1"),
    "trend_standard_error": Statistic("Standard error of the trend, adjusted for autocorrelation", "K decade-1"),
    "trend_ci95_half_width": Statistic("Half width of the 95% confidence interval of the trend", "K decade-1"),
    "p_value": Statistic("Two-sided p-value of no trend, adjusted for autocorrelation", ONE),
    "lag1_autocorrelation": Statistic("Autocorrelation at lag 1", ONE),
    "effective_sample_size": Statistic("Effective number of independent years", ONE),
    "standard_deviation": Statistic("Standard deviation of daily anomalies", KELVIN),
    "percentile_05": Statistic("5th percentile of daily anomalies", KELVIN),
    "percentile_95": Statistic("95th percentile of daily anomalies", KELVIN),
    "days_used": Statistic("Number of days used", ONE),
    "missing_fraction": Statistic("Fraction of days that are missing", ONE),
    "bias": Statistic("Annual mean minus that of the multi-model mean", KELVIN),
    "centred_rmse": Statistic("Centred RMSE of the annual cycle against the multi-model mean", KELVIN),
    "correlation": Statistic("Correlation of the annual cycle with the multi-model mean", ONE),
    "amplitude_ratio": Statistic("Standard deviation of the annual cycle over that of the multi-model mean", ONE),
    "multi_model_mean": Statistic("Annual mean of the multi-model mean", KELVIN),
    "multi_model_spread": Statistic("Standard deviation of the annual means of the other models", KELVIN),
    "reference_models": Statistic("Number of models in the multi-model mean", ONE),
    "climatological_mean": Statistic("Climatological mean of each month", KELVIN),
    "interannual_standard_deviation": Statistic("Standard deviation over the years of each month", KELVIN),
    "annual_mean_of_year": Statistic("Annual mean of each year", KELVIN),
    "standard_deviation_of_month": Statistic("Standard deviation of the daily anomalies of each month", KELVIN),
}
"""By name; the controlled vocabulary lists the same."""
