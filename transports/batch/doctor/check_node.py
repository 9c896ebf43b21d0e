"""Check a compute node from within a job: files, versions, providers, clock, size."""

import platform
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.metadata import version
from typing import Final

from climate_ref_prefect import __version__
from climate_ref_prefect.diagnostics.execution_definition import ProviderReference
from climate_ref_prefect.execution.worker.doctor_node_checks import (
    NODES_TOKEN,
    Exchange,
    Node,
    ProviderCheck,
    await_token,
    describe_node,
    exchange_tokens,
    import_provider,
)
from climate_ref_prefect.transports.batch.doctor.shared_directories import SETTINGS, SharedDirectory
from climate_ref_prefect.transports.batch.doctor.trial_job import TrialJob
from climate_ref_prefect.transports.doctor.check_provider_import import NODE, judge_provider
from climate_ref_prefect.transports.doctor_finding import Finding, note, ok, skipped, wrong

_CLOCK_SECONDS: Final = 5.0
"""Clocks must not differ by more, because times of files and attempts are compared between hosts."""
_ROUNDS: Final = 5
_MEMORY_SLACK_MB: Final = 1.0


def skip_node(providers: Sequence[ProviderReference], because: str) -> Iterator[Finding]:
    """Yield the checks that are skipped without a pilot."""
    yield skipped("Whether the node sees the shared directory and scratch", because)
    yield skipped("The package on the node", because)
    for reference in providers:
        yield skipped(f"The provider {reference.target} on the node", because)
    yield skipped("Clock, Python and size of the job", because)


def check_node(
    trial: TrialJob, places: Sequence[SharedDirectory], providers: Sequence[ProviderReference]
) -> Iterator[Finding]:
    """Have the pilot check its node."""
    for place in places:
        yield _found_out(trial, f"Whether the node sees the {place.name}", partial(_check_place, trial, place))
    yield _found_out(trial, "The package on the node", lambda: _check_package(_describe(trial)))
    for reference in providers:
        what = f"The provider {reference.target} on the node"
        yield _found_out(trial, what, partial(_check_provider, trial, reference))
    yield _found_out(trial, "The node's clock", lambda: _check_clock(trial))
    yield _found_out(trial, "The node's Python", lambda: _check_python(_describe(trial)))
    yield _found_out(trial, "The size of the job", lambda: _check_size(trial, _describe(trial)))


def _found_out(trial: TrialJob, what: str, find_out: Callable[[], Finding]) -> Finding:
    if trial.mute:
        return skipped(what, "the pilot does not answer any more")
    try:
        return find_out()
    except Exception as error:  # noqa: BLE001 - whatever keeps the pilot from answering is a finding
        trial.look()
        told = f"{type(error).__name__}: {error}".partition("\n")[0]
        words = trial.record.words if trial.record else ""
        return wrong(
            f"{what} could not be found out: {told}. {trial.scheduler} says of the job: {words or 'nothing'}.",
            f"see that nodes have climate-ref-prefect {__version__}, and what has ended the job if it is over.",
        )


def _describe(trial: TrialJob) -> Node:
    return Node.model_validate_json(trial.ask(describe_node))


def _check_place(trial: TrialJob, place: SharedDirectory) -> Finding:
    timeout_seconds = trial.transport.outcome_patience_seconds
    answer = trial.ask(exchange_tokens, str(place.path), timeout_seconds, seconds=timeout_seconds)
    exchange = Exchange.model_validate_json(answer)
    if exchange.found != place.token:
        told = exchange.error or f"what was written here has not shown there for {timeout_seconds:g} s"
        return wrong(
            f"The node does not see the {place.name} {place.above} as it is here: {told}.",
            f"set one on a file system that coordinator and nodes share: {SETTINGS[place.name]}.",
        )
    began = time.monotonic()
    if await_token(place.path / NODES_TOKEN, timeout_seconds) != exchange.left:
        return wrong(
            f"What the node has written in the {place.name} {place.above} has not shown here for "
            f"{timeout_seconds:g} s.",
            f"raise `outcome_patience_seconds`, or set one that is shared: {SETTINGS[place.name]}.",
        )
    delay = time.monotonic() - began
    return ok(f"The node sees the {place.name}; what it writes there shows here after {delay:.1f} s.")


def _check_package(node: Node) -> Finding:
    here = {"climate-ref-prefect": __version__, "distributed": version("distributed")}
    there = {"climate-ref-prefect": node.package, "distributed": node.dask}
    if here == there:
        return ok(f"The node has climate-ref-prefect {node.package} and distributed {node.dask}, as the coordinator.")
    told = ", ".join(f"{name} {there[name] or 'nowhere'} there and {here[name]} here" for name in here)
    return wrong(f"The versions differ: {told}.", "install the same on both, or name another `python`.")


def _check_provider(trial: TrialJob, reference: ProviderReference) -> Finding:
    deadline = trial.transport.limits.import_deadline_seconds
    answer = trial.ask(import_provider, reference.model_dump_json(), deadline, seconds=2 * deadline)
    return judge_provider(ProviderCheck.model_validate_json(answer), NODE)


def _check_clock(trial: TrialJob) -> Finding:
    offset, tolerance = min((_compare_clocks(trial) for _ in range(_ROUNDS)), key=lambda pair: pair[1])
    told = f"{abs(offset):.2f} s {'ahead of' if offset > 0 else 'behind'} the coordinator's, within {tolerance:.2f} s"
    if abs(offset) - tolerance > _CLOCK_SECONDS:
        return wrong(f"The node's clock is {told}.", "have both set by the same time servers.")
    return ok(f"The node's clock agrees: {told}.")


def _compare_clocks(trial: TrialJob) -> tuple[float, float]:
    """Return by how much the node's clock is ahead, and the uncertainty of that: half of the round trip."""
    began_at, began = time.time(), time.monotonic()
    there = trial.ask(time.time)
    half = (time.monotonic() - began) / 2
    return there - (began_at + half), half


def _check_python(node: Node) -> Finding:
    told = f"The node is {node.host}; Python {node.python} there is {node.interpreter}"
    here = platform.python_version()
    if node.python.split(".")[:2] != here.split(".")[:2]:
        return note(f"{told}; the coordinator has {here}.")
    return ok(f"{told}.")


def _check_size(trial: TrialJob, node: Node) -> Finding:
    asked = trial.size
    wanted = f"it asked for {asked.cpu} CPU and {asked.memory_mb} MiB"
    cpu = f"{node.cpu} CPU" if node.cpu else "CPUs that cannot be seen"
    memory = f"{node.memory_mb:.0f} MiB" if node.memory_mb else "memory without a limit that can be seen"
    told = f"The job may use {cpu} and {memory}; {wanted}."
    too_small = node.memory_mb is not None and node.memory_mb + _MEMORY_SLACK_MB < asked.memory_mb
    if too_small or (node.cpu is not None and node.cpu < asked.cpu):
        return wrong(told, "see `sizing` and `directives` of the profile, and ask the site what a job is given.")
    return ok(told) if node.memory_mb else note(told)
