"""The provider of the shipped suite."""

from climate_ref_prefect.testing.providers.acts import segfault
from climate_ref_prefect.testing.providers.behaving import PER_DATASET, SMALL, Behaving, fresh, provider, some_metrics

__all__ = ["PER_DATASET", "SMALL", "Behaving", "fresh", "provider", "segfault", "some_metrics"]
