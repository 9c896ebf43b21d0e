"""The mark of a batch job: text in its script that the scheduler shows, by which a job is found whose id is unknown."""

import uuid
from typing import Final

NOBODY: Final = "nobody"
"""Owner of jobs that belong to no store, such as trial jobs."""
_SEPARATOR: Final = "-"
_LONGEST_OWNER: Final = 32


def new_mark(owner: str) -> str:
    """
    Return a mark that no other job has.

    Parameters
    ----------
    owner
        Identity of the store for which the job runs executions; empty for none. Its first 32 letters and digits count.
    """
    name = "".join(filter(str.isalnum, owner))[:_LONGEST_OWNER] or NOBODY
    return f"{name}{_SEPARATOR}{uuid.uuid4().hex}"


def is_owned_by(mark: str, owner: str) -> bool:
    """Return whether a job with this mark was submitted for this owner."""
    name = "".join(filter(str.isalnum, owner))[:_LONGEST_OWNER]
    return bool(name) and mark.rpartition(_SEPARATOR)[0] == name
