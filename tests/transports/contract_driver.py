"""Driving a transport, from the shipped suite."""

from climate_ref_prefect.testing.transports.contract_driver import (
    Allowances,
    Backend,
    Driving,
    bare,
    collect,
    environment_of,
    kind_of,
    message_of,
    without_place,
)

__all__ = [
    "Allowances",
    "Backend",
    "Driving",
    "bare",
    "collect",
    "environment_of",
    "kind_of",
    "message_of",
    "without_place",
]
