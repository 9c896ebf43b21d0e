"""Names of execution directories below scratch and results."""

import re
from datetime import datetime
from uuid import uuid4

from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition

LONGEST_KEY = 100
"""How many characters of a key go into a path. File systems allow 255 bytes per part, schedulers less in total."""

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def new_fragment(definition: ExecutionDefinition, now: datetime) -> str:
    """
    Return the directory name of a new execution. No two calls return the same name.

    Parameters
    ----------
    definition
        Definition of the execution.
    now
        Time of the allocation, in UTC.
    """
    stamp = f"{now:%Y%m%dT%H%M%S}-{uuid4().hex[:8]}"
    return f"{definition.provider}/{definition.diagnostic}/{safe_key(definition.key)}/{stamp}"


def safe_key(key: str) -> str:
    """Return the key as one part of a path: plain characters, no hidden or empty name, at most `LONGEST_KEY`."""
    return _UNSAFE.sub("-", key).lstrip("._-")[:LONGEST_KEY] or "group"
