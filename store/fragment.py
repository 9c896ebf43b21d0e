"""The directory of an execution below scratch and results."""

import re
from datetime import datetime
from uuid import uuid4

from climate_ref_prefect.diagnostics.definition import ExecutionDefinition

LONGEST_KEY = 100
"""Characters of a key that go into a path: file systems take 255 bytes a part, schedulers less in all."""

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def new_fragment(definition: ExecutionDefinition, now: datetime) -> str:
    """
    Name the directory of a new execution; no two calls give the same name.

    Parameters
    ----------
    definition
        What the execution is about.
    now
        Time of the allocation, in UTC.
    """
    stamp = f"{now:%Y%m%dT%H%M%S}-{uuid4().hex[:8]}"
    return f"{definition.provider}/{definition.diagnostic}/{safe_key(definition.key)}/{stamp}"


def safe_key(key: str) -> str:
    """Return the key as one part of a path: plain characters, no hidden or empty name, at most `LONGEST_KEY`."""
    return _UNSAFE.sub("-", key).lstrip("._-")[:LONGEST_KEY] or "group"
