"""Check that the scheduler answers and starts a job, and explain why a started job does not connect."""

import shutil
from collections.abc import Generator, Iterator, Sequence
from typing import Final, NamedTuple

from climate_ref_prefect.transports.batch.batch_site import BatchSite
from climate_ref_prefect.transports.batch.dask.pilot_messages import NO_COORDINATOR, NO_KEYS
from climate_ref_prefect.transports.batch.doctor.check_network import LISTEN_REMEDY
from climate_ref_prefect.transports.batch.doctor.profile_fix_hints import fields_to_mend
from climate_ref_prefect.transports.batch.doctor.shared_directories import SETTINGS, SHARED
from climate_ref_prefect.transports.batch.doctor.trial_job import TrialJob
from climate_ref_prefect.transports.batch.schedulers.scheduler_port import (
    BatchScheduler,
    JobRefusedError,
    SchedulerSilentError,
    SubmissionLimitError,
)
from climate_ref_prefect.transports.doctor_finding import Finding, ok, wrong

_NO_INTERFACE: Final = ("network interface", "doesn't have an IPv4 address")
"""Message of Dask if a node has no such network interface, or the interface is down."""
_CLOCKS: Final = "See that the node's clock is not behind, either: TLS takes no key from the future."


class MissingWorker(NamedTuple):
    """Why a started job does not connect."""

    finding: Finding
    is_of_network: bool
    """Whether its pilot runs but does not reach the coordinator."""


def check_commands(scheduler: BatchScheduler) -> Generator[Finding, None, bool]:
    """Check that the scheduler's commands exist and that it answers."""
    missing = [program for program in scheduler.programs if shutil.which(program) is None]
    if missing:
        yield wrong(
            f"{' and '.join(missing)} of {scheduler.name} cannot be found on PATH.",
            "run this where jobs are submitted, or add the directory of the commands to PATH (`module load`).",
        )
        return False
    yield ok(f"The commands of {scheduler.name} are on PATH: {', '.join(scheduler.programs)}.")
    try:
        version = scheduler.ping()
    except SchedulerSilentError as error:
        yield wrong(
            f"{scheduler.name} does not answer: {error}",
            "wait until it does, or ask the operators of the scheduler; then try again.",
        )
        return False
    yield ok(f"{scheduler.name} answers: {version}.")
    return True


def check_start(trial: TrialJob, wait_seconds: float) -> Generator[Finding, None, bool]:
    """Submit a job and wait for its start."""
    trial.run(wait_seconds)
    name, transport = trial.scheduler, trial.transport
    label = f"a job of {trial.size.label}"
    if trial.refusal is not None:
        yield _judge_refusal(trial.refusal, f"{name} does not accept {label}", transport)
    elif not trial.job_id:
        yield wrong(
            f"{name} has not accepted {label} within {wait_seconds:g} s.", "ask the operators of the scheduler."
        )
    elif not trial.started:
        yield _judge_waiting(trial, f"{name} job {trial.job_id} ({trial.size.label})", wait_seconds, transport)
    else:
        yield ok(_told_of_start(trial, name))
        return True
    return False


def check_end(trial: TrialJob) -> Iterator[Finding]:
    """End the job, and report if it does not end."""
    trial.end()
    if trial.job_id and not trial.over:
        yield wrong(
            f"{trial.scheduler} has not confirmed the end of job {trial.job_id}.", "check whether it still exists."
        )


def explain_missing_worker(trial: TrialJob) -> MissingWorker:
    """Explain from its output why a started job does not connect. Ends the job."""
    ended = trial.over
    trial.end()
    words = trial.last_words()
    what = f"Job {trial.job_id} {_how_it_ended(trial) if ended else 'runs'}"
    if words is None or _says(words, NO_KEYS):
        told = f"{what}, but {'cannot read' if words else 'has left no output in'} {trial.transport.shared}."
        return MissingWorker(
            wrong(told, f"set one that nodes see: {SETTINGS[SHARED]}.", words or ()), is_of_network=False
        )
    if not ended or _says(words, NO_COORDINATOR, *_NO_INTERFACE):
        told = f"{what}, but its pilot has not reached the coordinator at {trial.contact}."
        remedy = f"{LISTEN_REMEDY} {_CLOCKS}" if trial.transport.tls else LISTEN_REMEDY
        return MissingWorker(wrong(told, remedy, words), is_of_network=True)
    remedy = (
        f"see that nodes have the `python` of the profile ({trial.transport.python}), that climate-ref-prefect is "
        "installed for it, and that each line of `prologue` works there."
    )
    return MissingWorker(wrong(f"{what}, but its pilot has not started.", remedy, words), is_of_network=False)


def _says(words: Sequence[str], *signs: str) -> bool:
    return any(sign in line for line in words for sign in signs)


def _judge_refusal(refusal: Exception, what: str, transport: BatchSite) -> Finding:
    if isinstance(refusal, SubmissionLimitError):
        return wrong(f"{what} now: {refusal}.", "wait until jobs of yours have ended.")
    if isinstance(refusal, JobRefusedError):
        return wrong(f"{what}: {refusal}.", f"mend {fields_to_mend(str(refusal), transport)} of the profile.")
    fields = fields_to_mend(str(refusal), transport)
    return wrong(
        f"{what} now: {refusal}.",
        f"try again; if it stays so, mend {fields} of the profile, or ask the operators of the scheduler.",
    )


def _judge_waiting(trial: TrialJob, what: str, wait_seconds: float, transport: BatchSite) -> Finding:
    record = trial.record
    words = trial.silence or (record.words if record else "") or "the scheduler has not reported on it"
    if record is not None and record.never:
        return wrong(f"{what} will never start: {words}.", f"mend {fields_to_mend(words, transport)} of the profile.")
    if trial.over:
        return wrong(f"{what} has ended without a start: {words}.", "ask the operators of the scheduler who ended it.")
    return wrong(
        f"{what} has not started within {wait_seconds:g} s: {words}.",
        "try a longer --wait-seconds, a less busy queue in `sizing.queues`, or another time.",
    )


def _told_of_start(trial: TrialJob, name: str) -> str:
    record = trial.record
    where = f" on {record.node}" if record and record.node else ""
    wait = record.queue_wait_seconds if record else None
    after = "" if wait is None else f", {wait:.0f} s after it was submitted"
    return f"{name} has started job {trial.job_id} of {trial.size.label}{where}{after}."


def _how_it_ended(trial: TrialJob) -> str:
    return f"has ended ({trial.record.words if trial.record and trial.record.words else 'the reason is not known'})"
