"""Opens the transport that a test module gives as its `backend`."""

from climate_ref_prefect.testing.transports.fixtures import allowances, own

__all__ = ["allowances", "own"]
