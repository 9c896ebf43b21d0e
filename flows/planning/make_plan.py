"""Make a plan: compare the groups of each diagnostic with the attempts of earlier solves."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from climate_ref_prefect.diagnostics.data_catalogue import Catalogue, DataGroup
from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition
from climate_ref_prefect.diagnostics.provider import DiagnosticDescription
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.execution.outcome import ExecutionFailure
from climate_ref_prefect.execution.worker.provider_server_client import ProviderCodeError
from climate_ref_prefect.flows.planning.load_providers import (
    BrokenProvider,
    LoadedProvider,
    broken_provider,
    code_failure,
    merge_failures,
)
from climate_ref_prefect.flows.planning.plan import Plan, PlannedExecution
from climate_ref_prefect.flows.retry.retry_rules import RetryPolicies
from climate_ref_prefect.store.port import AttemptCounts, address_of
from climate_ref_prefect.store.query_results import GroupHistory
from climate_ref_prefect.store.reading_port import HistoryReader
from climate_ref_prefect.transports.port import ResourcesRefusedError, Transport

Rerun = Literal["none", "failed", "all"]
"""What to run again on the same inputs: nothing, the groups that were given up, or everything."""


def make_plan(
    loaded: Sequence[LoadedProvider],
    broken: Sequence[BrokenProvider],
    catalogue: Catalogue,
    reader: HistoryReader,
    transport: Transport,
    *,
    policies: RetryPolicies,
    diagnostics: Sequence[str] | None = None,
    key: str | None = None,
    rerun: Rerun = "none",
) -> Plan:
    """
    Plan the executions of some providers on some data.

    Parameters
    ----------
    loaded, broken
        The providers, and those that could not be imported, which are passed on to the plan.
    catalogue
        The data.
    reader
        The record of earlier attempts.
    transport
        The transport, which says what it would grant to each execution.
    policies
        The policies, which say what grows after a failure.
    diagnostics
        Slugs of the diagnostics; None for all.
    key
        The only group to run; None for all.
    rerun
        What to run again on the same inputs.

    Raises
    ------
    BadInputError
        If no data set of the catalogue meets a requirement of the diagnostics, or no group has that key.
    """
    candidates: list[PlannedExecution] = []
    failed = list(broken)
    for provider in loaded:
        failed += provider.faulty(diagnostics)
        definitions, without_groups = _definitions(provider, provider.choose(diagnostics), catalogue, key)
        failed += without_groups
        try:
            hints = provider.sizes(definitions)
        except ProviderCodeError as error:
            failed.append(BrokenProvider(name=provider.description.slug, failure=code_failure(error)))
            continue
        sized = list(zip(definitions, hints, strict=True))
        failed += merge_failures((definition, hint) for definition, hint in sized if isinstance(hint, ExecutionFailure))
        candidates += [
            PlannedExecution(
                definition=definition,
                provider=provider.reference,
                resources=hint,
                granted=hint,
                retry_rule=policies.of(definition.provider, definition.diagnostic).rule,
            )
            for definition, hint in sized
            if isinstance(hint, ResourceHint)
        ]
    if not candidates and len(failed) == len(broken) < len(loaded) + len(broken):
        raise BadInputError(_nothing_to_run(catalogue, key))
    return _select(candidates, failed, reader, transport, policies=policies, rerun=rerun)


def _definitions(
    provider: LoadedProvider, diagnostics: Sequence[DiagnosticDescription], catalogue: Catalogue, key: str | None
) -> tuple[list[ExecutionDefinition], list[BrokenProvider]]:
    """Return the definitions to run, and the diagnostics whose data requirement is invalid."""
    definitions, failed = [], []
    for diagnostic in diagnostics:
        try:
            groups = catalogue.groups(diagnostic.data)
        except BadInputError as error:
            failed.append(
                broken_provider(f"{provider.description.slug}/{diagnostic.slug}", f"Its data requirement: {error}")
            )
        else:
            definitions += [_definition(provider, diagnostic, group) for group in groups if key in (None, group.key)]
    return definitions, failed


def _definition(provider: LoadedProvider, diagnostic: DiagnosticDescription, group: DataGroup) -> ExecutionDefinition:
    return ExecutionDefinition(
        provider=provider.description.slug,
        provider_version=provider.description.version,
        diagnostic=diagnostic.slug,
        diagnostic_version=diagnostic.version,
        key=group.key,
        selectors=group.selectors,
        datasets=group.datasets,
    )


def _nothing_to_run(catalogue: Catalogue, key: str | None) -> str:
    if key is not None:
        return f"No group has the key {key!r}; `climate-ref-prefect plan --rerun all --keys` lists them."
    return (
        f"None of the {len(catalogue.datasets)} data sets below {catalogue.root} passes the filters of the "
        "chosen diagnostics; docs/how-to/choose-data.md says what each one wants."
    )


def _select(
    candidates: Sequence[PlannedExecution],
    broken: Sequence[BrokenProvider],
    reader: HistoryReader,
    transport: Transport,
    *,
    policies: RetryPolicies,
    rerun: Rerun,
) -> Plan:
    histories = reader.histories([item.definition for item in candidates])
    chosen: list[PlannedExecution] = []
    refused: list[tuple[ExecutionDefinition, ExecutionFailure]] = []
    up_to_date = given_up = 0
    for item in candidates:
        history = histories[address_of(item.definition)]
        if history.succeeded and not history.dirty and rerun != "all":
            up_to_date += 1
        elif _was_given_up(history) and rerun == "none":
            given_up += 1
        else:
            try:
                chosen.append(_granted(_continued(item, history, policies, transport), transport))
            except ResourcesRefusedError as error:
                failure = ExecutionFailure(kind=FailureKind.SUBMISSION_REFUSED, message=str(error))
                refused.append((item.definition, failure))
    return Plan(
        executions=tuple(sorted(chosen, key=_size, reverse=True)),
        up_to_date=up_to_date,
        given_up=given_up,
        broken=(*broken, *merge_failures(refused)),
        transport=transport.name,
    )


def _was_given_up(history: GroupHistory) -> bool:
    return not history.succeeded and not history.dirty and history.last_execution_id is not None


def _continued(
    item: PlannedExecution, history: GroupHistory, policies: RetryPolicies, transport: Transport
) -> PlannedExecution:
    """Continue where an earlier solve stopped, with the grown resources. A requested rerun starts anew."""
    if history.last_execution_id is None:
        return item
    before = {
        "replaces": history.last_execution_id,
        "previous_failure": None if history.succeeded else history.last_failure,
    }
    if history.last_retryable is False:
        return item.model_copy(update={**before, "counts": AttemptCounts(attempts=history.attempts)})
    resources = item.resources
    if history.last_asked is not None:
        failure = history.last_failure if history.last_retryable else None
        policy = policies.of(item.definition.provider, item.definition.diagnostic)
        resources = policy.continued(resources, failure, history.last_asked, transport.check)
    return item.model_copy(update={**before, "resources": resources, "counts": history.counts})


def _granted(item: PlannedExecution, transport: Transport) -> PlannedExecution:
    return item.model_copy(update={"granted": transport.check(item.resources)})


def _size(item: PlannedExecution) -> tuple[float, int, int]:
    """Return the sort key of executions, largest first, because a long one that starts last would run alone."""
    granted = item.granted
    return granted.wall_clock_seconds, granted.memory_mb, granted.cpu


def data_directory(data: Path | str) -> Path:
    """Return the data directory: a path, or `sample` for the data of the package `esmvaltool-sample-data`."""
    if str(data) != "sample":
        return Path(data).expanduser()
    from climate_ref_prefect.diagnostics.demo.sample_data import sample_data_root  # noqa: PLC0415 - needs the extra `demo`

    return sample_data_root()
