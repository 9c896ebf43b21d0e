"""Map exit codes and messages with which PBS refuses a job to what they mean."""

import re
from typing import Final

from climate_ref_prefect.transports.batch.schedulers.refusal_kinds import Refusal

# PBS's error number in eight bits (src/include/pbs_error.h of OpenPBS 23.06; recorded: 159, 166, 170, 174, 187, 188,
# 197), each about the job, its owner or the profile.
_PBS_NEVER: Final = frozenset(
    {
        *(154, 155, 166, 178, 184),  # attributes: undefined, read-only, illegal value, wrong type, bad list
        *(159, 174, 197, 201),  # not authorised, no access to the queue, bad group, bad account
        *(170, 189),  # unknown queue, no default queue
        *(187, 188),  # unknown resource, the job violates limits of queue or server
        *(4, 5, 6, 7, 12, 40),  # resource in select or job or place, twice in a chunk; value out of range
        *(69, 71),  # the job's name or script is too long
    }
)
_PBS_AT_LIMIT: Final = frozenset({38, 39, 198})
"""A user has too many jobs, or they request too much together (recorded: 38, 39)."""
_PBS_NOT_NOW: Final = frozenset({173, 191, 196, 212})
"""Queue not enabled, no destination of a routing queue takes it, resource unavailable, server shuts down."""
_PBS_EXISTS: Final = 161
_OF_SHELLS: Final = 128
_PBS_USAGE: Final = re.compile(
    r"usage: qsub|qsub: (illegal -|invalid option|directive error|unmatched )|cannot be used with|"
    r"use of -l select is not permitted",
    re.IGNORECASE,
)
"""Messages of `qsub` about its options and directives, before it asks the server (recorded: codes 2 and 5)."""
_NO_CONNECTION: Final = re.compile(r"(cannot|couldn't) connect|connection (refused|reset|timed out)", re.IGNORECASE)


def of_qsub(code: int, words: str) -> Refusal:
    """Return what a failure of `qsub` with this exit code and message means."""
    if code == _PBS_EXISTS or _NO_CONNECTION.search(words):
        return Refusal.IN_DOUBT
    if code in _PBS_AT_LIMIT:
        return Refusal.AT_LIMIT
    if (code in _PBS_NEVER and _is_of_server(code, words)) or _PBS_USAGE.search(words):
        return Refusal.NEVER
    return Refusal.NOT_NOW if code in _PBS_NOT_NOW else Refusal.IN_DOUBT


def _is_of_server(code: int, words: str) -> bool:
    """Whether an exit code is the server's. Small ones may come from a shell or from a wrapper of the site."""
    return code > _OF_SHELLS or "qsub: " in words
