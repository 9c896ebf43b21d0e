"""Suggest which fields of a profile to change, from the message in which the scheduler refuses a job."""

import re
from collections.abc import Sequence
from typing import Final

from climate_ref_prefect.transports.batch.batch_site import BatchSite

_QUEUES: Final = "sizing.queues"
_BY_WORDS: Final[Sequence[tuple[str, tuple[str, ...]]]] = (
    (r"directive|unrecognized option|invalid option|illegal -|usage: qsub", ("directives", "shared_directory")),
    (r"partition|queue", (_QUEUES, "account")),
    (r"account|association|project", ("account", "project", "directives")),
    (r"qos", ("qos",)),
    (r"feature|constraint", ("constraint",)),
    (r"cluster|gres|license|reservation|dependency|array", ("directives",)),
)


def fields_to_mend(words: str, transport: BatchSite) -> str:
    """Return the fields that a refusal is about; if its words do not say, all that may be the cause."""
    for pattern, names in _BY_WORDS:
        if re.search(pattern, words, re.IGNORECASE):
            return _told(names, transport)
    return _told((_QUEUES, *transport.refusable_fields), transport)


def _told(names: Sequence[str], transport: BatchSite) -> str:
    known = type(transport).model_fields
    return ", ".join(f"`{name}`" for name in names if name == _QUEUES or name in known)
