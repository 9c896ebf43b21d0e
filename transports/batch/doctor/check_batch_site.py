"""Check a batch site, from the coordinator's host and from within a job."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Final

from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.diagnostics.execution_definition import ProviderReference
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.transports.batch.batch_site import BatchSite
from climate_ref_prefect.transports.batch.doctor.check_job_start import (
    MissingWorker,
    check_commands,
    check_end,
    check_start,
    explain_missing_worker,
)
from climate_ref_prefect.transports.batch.doctor.check_network import LISTEN_REMEDY, check_tls
from climate_ref_prefect.transports.batch.doctor.check_node import check_node, skip_node
from climate_ref_prefect.transports.batch.doctor.shared_directories import (
    SCRATCH,
    SHARED,
    SharedDirectory,
    make_shared_directory,
)
from climate_ref_prefect.transports.batch.doctor.trial_job import TrialJob, open_trial_job
from climate_ref_prefect.transports.doctor_finding import Finding, ok, skipped, wrong
from climate_ref_prefect.transports.port import ResourcesRefusedError

_SMALL: Final = ResourceHint(memory_mb=1024, cpu=1, wall_clock=timedelta(minutes=5))
"""Enough to import a provider."""
_NOT_LISTENING: Final = "the coordinator does not listen for pilots"
_NOT_CONNECTED: Final = "no pilot has connected"


def check_site(
    transport: BatchSite, providers: Sequence[ProviderReference], scratch_directory: Path, wait_seconds: float
) -> Iterator[Finding]:
    """
    Check step by step everything that a run needs of a site. Nothing is left behind.

    Parameters
    ----------
    transport
        The transport to the site.
    providers
        Providers that must be importable on its nodes.
    scratch_directory
        Directory in which executions will run.
    wait_seconds
        How long a job may take to start.
    """
    answers = yield from check_commands(transport.commands())
    with ExitStack() as ending:
        shared = yield from make_shared_directory(SHARED, transport.shared, ending)
        scratch = yield from make_shared_directory(SCRATCH, scratch_directory, ending)
        trial = yield from _listen(transport, shared, ending)
        if trial is None:
            yield skipped("A job", _NOT_LISTENING)
            yield from skip_node(providers, _NOT_CONNECTED)
            yield skipped("TLS, and the way from the node to the coordinator", _NOT_LISTENING)
            return
        if not answers:
            yield skipped("A job", "the scheduler cannot be used")
        started = answers and (yield from check_start(trial, wait_seconds))
        silence = explain_missing_worker(trial) if started and not trial.pilot else None
        if silence and not silence.is_of_network:
            yield silence.finding
        if trial.pilot:
            yield from check_node(trial, [place for place in (shared, scratch) if place], providers)
        else:
            yield from skip_node(providers, _NOT_CONNECTED)
        yield from check_tls(trial)
        yield _judge_way(trial, silence)
        yield from check_end(trial)


def _listen(
    transport: BatchSite, shared: SharedDirectory | None, ending: ExitStack
) -> Generator[Finding, None, TrialJob | None]:
    """Listen for the pilot of a job, with keys and logs in the doctor's own directory, which is removed later."""
    if shared is None:
        return None
    own = transport.model_copy(update={"shared_directory": shared.path})
    try:
        return ending.enter_context(open_trial_job(own, own.sizing.smallest.size(_SMALL)))
    except ResourcesRefusedError as error:
        yield wrong(f"No queue fits even a small job. {error}", "mend `sizing.queues` of the profile.")
    except (BadInputError, OSError) as error:
        yield wrong(f"The coordinator cannot listen for jobs. {error}", LISTEN_REMEDY)
    return None


def _judge_way(trial: TrialJob, silence: MissingWorker | None) -> Finding:
    if trial.pilot:
        return ok(f"The node reaches the coordinator at {trial.contact}.")
    if silence and silence.is_of_network:
        return silence.finding
    return skipped(f"Whether nodes reach the coordinator at {trial.contact}", _NOT_CONNECTED)
