"""Map messages with which SLURM refuses a job, or keeps it waiting, to what they mean."""

import re
from collections.abc import Iterable
from typing import Final

from climate_ref_prefect.transports.batch.schedulers.command_output import lines_of
from climate_ref_prefect.transports.batch.schedulers.refusal_kinds import Refusal

# Sources: `slurm_errtab` of src/common/slurm_errno.c, SLURM 22.05 to 25.05, beside what `sbatch` itself says of its
# options (src/sbatch/opt.c, src/common/slurm_opt.c). Each names the job or the profile, and not the state of the site.
_SLURM_NEVER: Final = (
    "invalid partition name specified",
    "invalid partition specified",
    "no partition specified or system default partition",
    "user's group not permitted to use this partition",
    "requested nodes not in this partition",
    "multiple partition job request not supported",
    "invalid account or account/partition combination specified",
    "invalid bank account specified",
    "invalid or unknown association",
    "invalid qos specification",
    "invalid wckey specification",
    "more processors requested than permitted",
    "requested node configuration is not available",
    "memory required by task is not available",
    "requested time limit is invalid",
    "time limit specification required, but not provided",
    "invalid time specified",
    "invalid time-min specification",
    "node count specification invalid",
    "cpu count specification invalid",
    "task count specification invalid",
    "task distribution specification invalid",
    "job size specification needs to be provided",
    "pathname of a file, directory or other parameter too long",
    "invalid node name specified",
    "invalid feature specification",
    "invalid preferred feature specification",
    "invalid generic resource (gres) specification",
    "invalid gres specification",
    "duplicate generic resource (gres) specification",
    "requested gres option unsupported",
    "invalid trackable resource (tres) specification",
    "invalid license specification",
    "burst buffer request invalid",
    "invalid mcs_label specified",
    "invalid --nice value",
    "invalid job array specification",
    "circular job dependency",
    "job dependency problem",
    "access denied to requested reservation",
    "invalid cluster name",
    "no cluster '",  # `No cluster 'x' known by database.`
    "invalid directive found in batch script",
    "invalid numeric value",
    "invalid --",
    "this does not look like a batch script",
    "batch script contains dos line breaks",
)
_SLURM_AT_LIMIT: Final = (
    "job violates accounting/qos policy",
    "job submit limit",
    "maxsubmitjob",
    "maxjobsper",
    "requested account has breached requested qos usage threshold",
)
_SLURM_NOT_NOW: Final = (
    "submission disabled",
    "submissions disabled",
    "submission is disabled",
    "slurm backup controller in standby mode",
    "controller is in standby mode",
    "requested partition configuration not available now",
    "required partition not available",
    "partition in down state",
    "required node not available",
    "requested nodes are busy",
    "requested reservation not usable now",
    "licenses not available",
    "licenses currently unavailable",
    "maxjobcount",
    "i/o error writing script/environment to file",
    "rate limit exceeded",
    "invalid authentication credential",
    "authentication credential expired",
    "protocol authentication error",
    "job can not start due to maintenance reservation",
    "unable to connect to database",
)
_OF_SBATCH: Final = re.compile(r"submission failed: (.+)", re.IGNORECASE)
_LINE_OF_SBATCH: Final = re.compile(r"(?:\S*/)?sbatch: ")
_OPTION_OF_SBATCH: Final = re.compile(
    r"sbatch: (?:unrecognized option|invalid option|option\b.*(?:requires an argument|doesn't allow an|is ambiguous))"
)
"""Messages of the C library about options of `sbatch` itself, because a wrapper of the site may call other programs."""

_PER_JOB: Final = re.compile(
    r"(Assoc|QOS)Max\w+Per(Job|Node)(Limit)?\b|QOSMin[A-Z]\w*|MaxMemPerLimit\b|PartitionConfig\b|PartitionNodeLimit\b|"
    r"PartitionTimeLimit\b|BadConstraints\b|AccountNotAllowed\b|InvalidAccount\b|InvalidQOS\b|QOSNotAllowed\b|"
    r"DependencyNeverSatisfied\b"
)
"""
Reasons for which a job can never start (`man squeue`, JOB REASON CODES; `job_reason_string` of SLURM).

What is limited per job, or per node of a job, is so for ever; per user, per account and for groups (`PerUser`,
`PerAccount`, `Grp`) it passes when other jobs have ended.
"""


def of_sbatch(words: str) -> Refusal:
    """
    Return what a failure of `sbatch` with this output means.

    A message that is not known to be final is not final, because a restarting controller prints many. Lines of other
    programs, such as a wrapper of the site, do not count beside those of `sbatch`.
    """
    words = "\n".join(_lines_of_sbatch(words))
    reasons = _OF_SBATCH.findall(words)
    told = (reasons[-1] if reasons else words).lower()
    if _says(told, _SLURM_NOT_NOW):
        return Refusal.NOT_NOW
    # It is printed on a line of its own, before the message that it shares with temporary limits.
    if _PER_JOB.search(words):
        return Refusal.NEVER
    if _says(told, _SLURM_AT_LIMIT):
        return Refusal.AT_LIMIT
    final = _says(told, _SLURM_NEVER) or (not reasons and _OPTION_OF_SBATCH.search(words))
    return Refusal.NEVER if final else Refusal.IN_DOUBT


def is_refused_by_sbatch(printed: str) -> bool:
    """Whether `sbatch` says that there is no job, regardless of the exit code of a wrapper around it."""
    return _OF_SBATCH.search(printed) is not None


def never_starts_in_slurm(reason: str) -> bool:
    """Whether a job of SLURM that waits for this reason can never start."""
    return _PER_JOB.match(reason.strip()) is not None


def _lines_of_sbatch(printed: str) -> list[str]:
    lines = lines_of(printed)
    return [line for line in lines if _LINE_OF_SBATCH.match(line) or _OF_SBATCH.search(line)] or lines


def _says(told: str, signs: Iterable[str]) -> bool:
    return any(sign in told for sign in signs)
