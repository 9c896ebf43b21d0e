"""What schedulers say when they refuse a job: only what is known to be final is final."""

import pytest

from climate_ref_prefect.transports.batch.schedulers.pbs.refusals import of_qsub
from climate_ref_prefect.transports.batch.schedulers.refusal_kinds import Refusal
from climate_ref_prefect.transports.batch.schedulers.slurm.refusals import never_starts_in_slurm, of_sbatch

# The error table of SLURM 22.05 to 25.05, and words of the C library and of `sbatch` itself.
PASSING = """
Unspecified error
Operation now in progress
Unexpected message received
Communication connection failure
Message send failure
Message receive failure
Communication shutdown failure
Incompatible versions of client and server code
Protocol version has changed, re-link your code
I/O stream version number error
Protocol authentication error
Insane message length
Plugin initialization failed
Can't find an address, check slurm.conf
Unexpected missing socket error
Connection rejected by handler
Connection timed out establishing
Process is shutting down and closing all communications
Unable to contact slurm controller (connect failure)
Unable to contact slurm controller (send failure)
Unable to contact slurm controller (receive failure)
Unable to contact slurm controller (shutdown failure)
Rate limit exceeded, please retry momentarily
Access/permission denied
MaxJobCount limit reached
Reached Slurm job limit; MaxJobCount
Job script not specified
Invalid user id
Invalid group id
Duplicate job id
Immediate execution impossible, insufficient priority
Requested partition configuration not available now
Requested nodes are busy
I/O error writing script/environment to file
Job can not be altered now, try again later
Error configuring interconnect
Error generating job credential
Invalid job credential
Slurm backup controller in standby mode
Controller is in standby mode, try a different controller
Requested operation not supported on this system
Requested operation is presently disabled
Licenses currently unavailable
Unable to takeover, heartbeat file is missing
Requested reservation is invalid
Requested reservation is in use
Requested reservation not usable now
Required ports are in use
Required node not available (down, drained or reserved)
Required partition not available (inactive or drain)
Slurm internal error, contact system administrator
Burst Buffer resource limit exceeded
Waiting for burst buffer
Partition in DOWN state
System submissions disabled
Job submission disabled
Job can not start due to maintenance reservation.
Environment is missing in job
Unable to resolve user ID to user name
Max powered up nodes reached
Socket timed out on send/recv operation
Zero Bytes were transmitted or received
Header lengths are longer than data received
Invalid authentication credential
Authentication credential expired
Cannot unpack credential
Unable to connect to database
Unable to process configuration file
Transport endpoint is not connected
No route to host
Broken pipe
Connection refused
Connection reset by peer
Resource temporarily unavailable
Name or service not known
No space left on device
Stale file handle
the site is on holiday, come back on Monday
""".strip().splitlines()

AT_LIMIT = [
    "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
    "Requested account has breached requested QOS usage threshold",
]

NEVER = """
Invalid partition name specified
invalid partition specified: nosuch
No partition specified or system default partition
User's group not permitted to use this partition
Requested nodes not in this partition
More processors requested than permitted
Node count specification invalid
Job size specification needs to be provided
Pathname of a file, directory or other parameter too long
Requested node configuration is not available
Invalid node name specified
Task distribution specification invalid
Task count specification invalid
CPU count specification invalid
Invalid feature specification
Job dependency problem
Circular job dependency
Memory required by task is not available
Invalid account or account/partition combination specified
Invalid qos specification
Invalid wckey specification
Invalid license specification
Requested time limit is invalid (missing or exceeds some limit)
Time limit specification required, but not provided
Access denied to requested reservation
Invalid time specified
Invalid generic resource (gres) specification
Invalid job array specification
Burst Buffer request invalid
Invalid Trackable RESource (TRES) specification
Invalid cluster name
""".strip().splitlines()

OF_OPTIONS = [
    "Invalid directive found in batch script: data/logs/%x-%j.log",
    "sbatch: unrecognized option '--nosuch'\nTry \"sbatch --help\" for more information",
    "sbatch: option '--time' requires an argument",
    'Invalid numeric value "x" for --cpus-per-task.',
    "Invalid --time specification",
    "No cluster 'cm9' known by database.",
    "Batch script contains DOS line breaks (\\r\\n)",
]


@pytest.mark.parametrize("words", PASSING)
def test_what_may_pass_is_not_final(words: str) -> None:
    told = of_sbatch(f"Batch job submission failed: {words}")
    assert told in (Refusal.NOT_NOW, Refusal.IN_DOUBT)
    assert of_sbatch(words) in (Refusal.NOT_NOW, Refusal.IN_DOUBT)


@pytest.mark.parametrize("words", AT_LIMIT)
def test_a_limit_on_all_jobs_of_a_user_passes(words: str) -> None:
    assert of_sbatch(f"Batch job submission failed: {words}") is Refusal.AT_LIMIT
    assert of_sbatch(f"AssocMaxSubmitJobLimit Batch job submission failed: {words}") is Refusal.AT_LIMIT
    assert of_sbatch(f"QOSGrpSubmitJobsLimit Batch job submission failed: {words}") is Refusal.AT_LIMIT


@pytest.mark.parametrize("words", [*[f"Batch job submission failed: {words}" for words in NEVER], *OF_OPTIONS])
def test_what_is_wrong_with_the_job_or_the_profile_is_final(words: str) -> None:
    assert of_sbatch(words) is Refusal.NEVER


@pytest.mark.parametrize("reason", ["QOSMaxWallDurationPerJobLimit", "QOSMaxMemoryPerJob", "AssocMaxCpuPerJobLimit"])
def test_a_limit_per_job_is_final_where_the_site_refuses_what_exceeds_it(reason: str) -> None:
    assert of_sbatch(f"{reason} Batch job submission failed: {AT_LIMIT[0]}") is Refusal.NEVER
    assert of_sbatch(f"{reason} Batch job submission failed: Slurm backup controller in standby mode") is not (
        Refusal.NEVER
    )


def test_what_a_site_prints_around_the_reason_does_not_count() -> None:
    note = "Note: jobs with an Invalid qos specification are refused."
    assert of_sbatch(f"{note} Batch job submission failed: Zero Bytes were transmitted or received") is Refusal.IN_DOUBT


AROUND = [
    "date: invalid option -- 'z'",
    "[site] the project is ambiguous: invalid account specified, the default is taken",
    "grep: option requires an argument -- 'e'",
]


@pytest.mark.parametrize("note", AROUND)
def test_other_lines_that_a_site_prints_are_not_the_schedulers_message(note: str) -> None:
    for words in ("sbatch: error: Batch job submission failed: No route to host", "sbatch: fatal: the disk is full"):
        assert of_sbatch(f"{note}\n{words}\n{note}") is Refusal.IN_DOUBT
    assert of_sbatch(f"{note}\nsbatch: error: Batch job submission failed: Invalid qos specification\n{note}") is (
        Refusal.NEVER
    )


@pytest.mark.parametrize("note", [AROUND[0], AROUND[2]])
def test_messages_of_other_programs_about_their_options_are_not_final(note: str) -> None:
    assert of_sbatch(note) is Refusal.IN_DOUBT


REASONS_THAT_MEAN_NEVER = [
    "PartitionConfig",
    "PartitionNodeLimit",
    "PartitionTimeLimit",
    "BadConstraints",
    "AccountNotAllowed",
    "InvalidAccount",
    "InvalidQOS",
    "QOSNotAllowed",
    "DependencyNeverSatisfied",
    "MaxMemPerLimit",
    "QOSMaxWallDurationPerJobLimit",
    "QOSMaxMemoryPerJob",
    "QOSMaxMemoryMinutesPerJob",
    "QOSMaxCpuPerJobLimit",
    "QOSMaxCpuMinutesPerJobLimit",
    "QOSMaxNodePerJobLimit",
    "QOSMaxGRESPerJob",
    "QOSMaxBillingPerJob",
    "QOSMaxCpuPerNode",
    "QOSMaxMemoryPerNode",
    "QOSMinCpuNotSatisfied",
    "QOSMinMemory",
    "QOSMinGRES",
    "AssocMaxWallDurationPerJobLimit",
    "AssocMaxCpuPerJobLimit",
    "AssocMaxCpuMinutesPerJobLimit",
    "AssocMaxNodePerJobLimit",
    "AssocMaxMemPerJob",
    "AssocMaxGRESPerJob",
    "AssocMaxBBPerJob",
    "AssocMaxGRESMinutesPerJob",
    "AssocMaxMemPerNode",
    "QOSMaxLicensePerJob",
    "QOSMaxEnergyPerJob",
    "QOSMinBilling",
    "QOSMinLicense",
]
REASONS_THAT_PASS = [
    "None",
    "Priority",
    "Resources",
    "Licenses",
    "Dependency",
    "BeginTime",
    "Reservation",
    "ReqNodeNotAvail",
    "JobHeldUser",
    "JobHeldAdmin",
    "PartitionDown",
    "PartitionInactive",
    "NodeDown",
    "Prolog",
    "Cleaning",
    "QOSUsageThreshold",
    "JobArrayTaskLimit",
    "QOSMaxJobsPerUserLimit",
    "QOSMaxSubmitJobPerUserLimit",
    "QOSMaxCpuPerUserLimit",
    "QOSMaxNodePerUserLimit",
    "QOSMaxMemoryPerUser",
    "QOSMaxGRESPerUser",
    "QOSMaxJobsPerAccountLimit",
    "MaxCpuPerAccount",
    "MaxMemoryPerAccount",
    "MaxGRESPerAccount",
    "AssocMaxJobsLimit",
    "AssocMaxSubmitJobLimit",
    "AssocGrpCpuLimit",
    "AssocGrpMemLimit",
    "AssocGrpCPUMinutesLimit",
    "AssocGrpNodeLimit",
    "AssocGrpWallLimit",
    "QOSGrpCpuLimit",
    "QOSGrpMemLimit",
    "QOSGrpNodeLimit",
    "QOSGrpWallLimit",
    "QOSGrpJobsLimit",
    "QOSMaxLicensePerUser",
    "QOSMaxBillingPerUser",
    "QOSMaxCpuRunMinutesPerUserLimit",
    "QOSMaxNodePerAccount",
    "AssocGrpCpuRunMinutesLimit",
    "BurstBufferStageIn",
    "SchedDefer",
    "ReasonOfTheNextVersion",
]


@pytest.mark.parametrize("reason", REASONS_THAT_MEAN_NEVER)
def test_a_limit_per_job_does_not_pass_by_waiting(reason: str) -> None:
    assert never_starts_in_slurm(reason)


@pytest.mark.parametrize("reason", REASONS_THAT_PASS)
def test_a_limit_per_user_or_group_passes_by_waiting(reason: str) -> None:
    assert not never_starts_in_slurm(reason)


OF_QSUB = [
    (170, "qsub: Unknown queue", Refusal.NEVER),
    (188, "qsub: Job violates queue and/or server resource limits", Refusal.NEVER),
    (159, "qsub: Unauthorized Request ", Refusal.NEVER),
    (174, "qsub: Access to queue is denied", Refusal.NEVER),
    (187, "qsub: Unknown resource: nosuch", Refusal.NEVER),
    (166, "qsub: Illegal attribute or resource value select.ncpus", Refusal.NEVER),
    (197, "qsub: Bad GID for job execution", Refusal.NEVER),
    (201, "qsub: Invalid account", Refusal.NEVER),
    (2, "usage: qsub [-a date_time] [-A account_string]", Refusal.NEVER),
    (2, "qsub: illegal -o value", Refusal.NEVER),
    (2, "qsub: invalid option -- 'Y' usage: qsub [-a date_time] [-A account_string]", Refusal.NEVER),
    (1, "qsub: unmatched '", Refusal.NEVER),
    (1, "qsub: directive error: -N a b", Refusal.NEVER),
    (5, '"-lresource=" cannot be used with "select" or "place", resource is: ncpus', Refusal.NEVER),
    (5, "the site's wrapper could not read its quota", Refusal.IN_DOUBT),
    (2, "bash: syntax error in the site's wrapper", Refusal.IN_DOUBT),
    (38, "qsub: would exceed queue generic's per-user limit", Refusal.AT_LIMIT),
    (38, "qsub: would exceed queue generic's per-user limit of jobs in 'Q' state", Refusal.AT_LIMIT),
    (39, "qsub: would exceed per-user limit on resource ncpus in queue resq", Refusal.AT_LIMIT),
    (173, "qsub: Queue is not enabled", Refusal.NOT_NOW),
    (196, "qsub: Resource temporarily unavailable", Refusal.NOT_NOW),
    (161, "qsub: Job already exists", Refusal.IN_DOUBT),
    (162, "Connection refused qsub: cannot connect to server pbsvm (errno=15010)", Refusal.IN_DOUBT),
    (162, "qsub: System error occurred", Refusal.IN_DOUBT),
    (32, "qsub: the site's hook says: come back on Monday", Refusal.IN_DOUBT),
    (160, "qsub: Access from host not allowed, or unknown host", Refusal.IN_DOUBT),
    (175, "qsub: Bad UID for job execution", Refusal.IN_DOUBT),
    (1, "qsub: an error of the next version", Refusal.IN_DOUBT),
    (127, "qsub: command not found", Refusal.IN_DOUBT),
]


@pytest.mark.parametrize(("code", "words", "refusal"), OF_QSUB)
def test_exit_codes_and_messages_of_qsub(code: int, words: str, refusal: Refusal) -> None:
    assert of_qsub(code, words) is refusal
