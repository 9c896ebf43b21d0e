"""The provider of the shipped suite."""

from climate_ref_prefect.testing.providers.contract_provider import (
    PER_DATASET,
    SMALL,
    Behaving,
    fresh,
    provider,
    some_metrics,
)
from climate_ref_prefect.testing.providers.diagnostic_behaviours import segfault

__all__ = ["PER_DATASET", "SMALL", "Behaving", "fresh", "provider", "segfault", "some_metrics"]
