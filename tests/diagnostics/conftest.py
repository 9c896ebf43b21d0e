"""Settings of the property tests."""

from hypothesis import HealthCheck, settings

# A shared machine of two cores says nothing by being slow for once.
settings.register_profile("shared", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared")
