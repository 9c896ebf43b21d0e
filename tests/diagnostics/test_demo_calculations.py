"""The calculations of the demo on made-up numbers whose answer is known."""

import cftime
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from climate_ref_prefect.diagnostics.demo.calculations.annual_cycle import AnnualCycle
from climate_ref_prefect.diagnostics.demo.calculations.anomalies import Anomalies, annual_harmonics
from climate_ref_prefect.diagnostics.demo.calculations.autocorrelation import autocorrelation
from climate_ref_prefect.diagnostics.demo.calculations.daily_variability import Variability
from climate_ref_prefect.diagnostics.demo.calculations.ensemble_bias import Comparison, one_row_per_model
from climate_ref_prefect.diagnostics.demo.calculations.linear_trend import linear_trend
from climate_ref_prefect.diagnostics.demo.calculations.time_series import Record, Years, require_years
from climate_ref_prefect.diagnostics.demo.decode_times import decode
from climate_ref_prefect.diagnostics.demo.read_temperature import area_mean, area_weights
from climate_ref_prefect.diagnostics.errors import DiagnosticError

CALENDARS = ["standard", "proleptic_gregorian", "julian", "noleap", "360_day", "all_leap"]
MIDDLES = (np.arange(12) + 0.5) / 12


def daily_record(calendar: str, first: int, last: int) -> Record:
    start = cftime.datetime(first, 1, 1, calendar=calendar)
    count = (cftime.datetime(last + 1, 1, 1, calendar=calendar) - start).days
    times = decode(np.arange(count) + 0.5, f"days since {first}-01-01", calendar, Years(first, last))
    return Record(
        values=np.full(count, 260.0),
        year=first + times.month // 12,
        month=times.month % 12 + 1,
        days=np.ones(count, dtype=np.int64),
        calendar=calendar,
    )


@given(
    calendar=st.sampled_from(CALENDARS),
    units=st.sampled_from(["days since 1850-01-01", "hours since 1850-01-01 00:00", "days since 0001-01-01"]),
    first=st.integers(1950, 2010),
    offset=st.floats(-900, 900),
)
def test_times_are_those_of_cftime(calendar: str, units: str, first: int, offset: float) -> None:
    start = cftime.date2num(cftime.datetime(first, 1, 1, calendar=calendar), units, calendar)
    number = np.array([start + offset])
    date = cftime.num2date(number, units, calendar)[0]
    times = decode(number, units, calendar, Years(first, first + 1))
    if first <= date.year <= first + 1:
        assert times.index.tolist() == [0]
        assert (first + times.month[0] // 12, times.month[0] % 12 + 1) == (date.year, date.month)
        assert times.month_days[0] == date.daysinmonth
    else:
        assert times.index.size == 0


@pytest.mark.parametrize("calendar", CALENDARS)
def test_harmonics_of_the_year_are_found_again_in_any_calendar(calendar: str) -> None:
    record = daily_record(calendar, 1999, 2001).complete_years()
    assert record.years.tolist() == [1999, 2000, 2001]
    wave = 260 + 12 * np.cos(2 * np.pi * record.phase - 1) + 2 * np.sin(6 * np.pi * record.phase)
    assert annual_harmonics(wave, record.phase) == pytest.approx(wave)


def test_a_year_that_lacks_a_day_does_not_count() -> None:
    record = daily_record("standard", 1999, 2001)
    keep = np.arange(len(record.values)) != 400
    gappy = Record(record.values[keep], record.year[keep], record.month[keep], record.days[keep], "standard")
    assert gappy.complete_years().years.tolist() == [1999, 2001]
    with pytest.raises(DiagnosticError, match=r"2 complete years within 1999-2001; at least 3"):
        require_years(gappy, 3, Years(1999, 2001))
    with pytest.raises(DiagnosticError, match="do not follow each other"):
        Anomalies.of(gappy.complete_years())


@given(amplitude=st.floats(0.1, 30), maximum=st.floats(0, 11.99))
def test_a_cosine_is_its_own_first_harmonic(amplitude: float, maximum: float) -> None:
    cosine = 260 + amplitude * np.cos(2 * np.pi * (MIDDLES - maximum / 12))
    found = AnnualCycle(np.tile(cosine, (3, 1))).statistics()
    difference = (found["first_harmonic_phase"] - maximum + 6) % 12 - 6
    assert found["first_harmonic_amplitude"] == pytest.approx(amplitude)
    assert difference == pytest.approx(0, abs=1e-6)
    assert found["first_harmonic_variance_fraction"] == pytest.approx(1)


def test_no_annual_cycle_has_no_share_in_its_variance() -> None:
    found = AnnualCycle(np.full((2, 12), 250.0)).statistics()
    assert np.isnan(found["first_harmonic_variance_fraction"])


@given(slope=st.floats(-2, 2), noise=st.integers(0, 1000))
def test_a_trend_is_found_within_its_interval_when_noise_is_small(slope: float, noise: int) -> None:
    years = np.arange(1950, 2015)
    means = 260 + slope * (years - 1950) / 10 + np.random.default_rng(noise).normal(0, 1e-3, years.size)
    trend = linear_trend(years, means)
    assert trend.slope == pytest.approx(slope, abs=1e-3)
    assert trend.slope is not None
    assert trend.lower is not None
    assert trend.upper is not None
    assert trend.lower < trend.slope < trend.upper


def test_a_short_record_has_no_trend_and_no_error() -> None:
    statistics = linear_trend(np.arange(2000, 2009), np.linspace(250, 251, 9)).statistics()
    assert statistics.pop("years_used") == 9
    assert set(statistics.values()) == {None}


def test_residuals_that_hang_together_leave_the_error_open() -> None:
    years = np.arange(2000, 2012)
    trend = linear_trend(years, 250 + np.cos(np.pi * np.arange(12) / 11) ** 3)
    assert trend.slope is not None
    assert trend.effective is not None
    assert trend.effective < 4
    assert (trend.p_value is None) == (trend.effective <= 2)


def test_autocorrelation_of_alternating_values_is_minus_one() -> None:
    alternating = np.array([1.0, -1.0] * 500)
    assert autocorrelation(alternating, 2) == pytest.approx([1, -0.999, 0.998])


def test_weather_that_does_not_vary_is_refused() -> None:
    with pytest.raises(DiagnosticError, match="without any weather"):
        Variability.of(Anomalies.of(daily_record("360_day", 1999, 2001)))


def test_a_model_with_two_members_counts_once() -> None:
    rows = one_row_per_model([("B", np.full(12, 2.0)), ("A", np.full(12, 7.0)), ("B", np.full(12, 4.0))])
    assert rows[:, 0].tolist() == [7.0, 3.0]


def test_a_model_like_the_mean_of_the_others_has_no_error() -> None:
    cycle = 260 + 10 * np.cos(2 * np.pi * MIDDLES)
    statistics = Comparison(cycle, np.array([cycle - 1, cycle, cycle + 1])).statistics()
    assert statistics == pytest.approx(
        {
            "bias": 0,
            "bias_standardised": 0,
            "centred_rmse": 0,
            "correlation": 1,
            "standard_deviation_ratio": 1,
            "reference_models": 3,
        }
    )


def test_points_that_are_missing_once_are_left_out_always() -> None:
    values = np.array([[[1.0, 5.0]], [[2.0, np.nan]]])
    assert area_mean(values, area_weights(np.array([85.0]), 2)).tolist() == [1.0, 2.0]


def test_a_region_without_values_is_refused() -> None:
    with pytest.raises(DiagnosticError, match="No grid point"):
        area_mean(np.full((2, 1, 1), np.nan), np.ones((1, 1)))
