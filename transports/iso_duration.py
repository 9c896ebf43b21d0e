"""Durations in a site profile: ISO 8601 with units, since a bare number may be read as minutes or as seconds."""

from datetime import timedelta
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BeforeValidator

_WANTED = "an ISO 8601 duration is wanted, for example PT30M, PT8H or P2D"


def _has_units(value: object) -> object:
    if isinstance(value, timedelta) or (isinstance(value, str) and value.startswith("P")):
        return value
    raise ValueError(f"{_WANTED}, not {value!r}")


def _is_not_negative(duration: timedelta) -> timedelta:
    if duration < timedelta(0):
        raise ValueError("it cannot be negative")
    return duration


def _is_positive(duration: timedelta) -> timedelta:
    if duration <= timedelta(0):
        raise ValueError("it must be longer than zero")
    return duration


Duration: TypeAlias = Annotated[timedelta, BeforeValidator(_has_units), AfterValidator(_is_not_negative)]
"""Zero or longer: `PT8H`, or a timedelta in Python."""

PositiveDuration: TypeAlias = Annotated[timedelta, BeforeValidator(_has_units), AfterValidator(_is_positive)]
"""The same, but longer than zero."""
