"""Run a diagnostic of one of REF's providers on files, without REF's database: for notebooks."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from prefect import flow

from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.flows.display.log_escaping import escaped_logs
from climate_ref_prefect.flows.planning.plan import PlannedExecution
from climate_ref_prefect.flows.report.prefect_artifacts import create_solve_artifacts
from climate_ref_prefect.flows.report.solve_report import ExecutionsReport, read_rows
from climate_ref_prefect.flows.run_planned import run_planned
from climate_ref_prefect.flows.server.best_effort_calls import best_effort, short_retries
from climate_ref_prefect.flows.settings import Settings
from climate_ref_prefect.flows.transport_parameter import Site, transport_of
from climate_ref_prefect.flows.workspace.workspace import Workspace, open_recorder_workspace, open_workspace
from climate_ref_prefect.ref import upstream
from climate_ref_prefect.ref.cli.ref_configuration import load_configuration
from climate_ref_prefect.ref.flow_run_log import ref_log_in_flow_run
from climate_ref_prefect.ref.hints.sizing import Sizing, hint_table
from climate_ref_prefect.ref.path_variables import make_path_variables_absolute
from climate_ref_prefect.ref.plan_execution import ExecutionPlanner
from climate_ref_prefect.ref.provider_adapter import provider_of_process
from climate_ref_prefect.ref.solve_request import RefSolveRequest
from climate_ref_prefect.ref.vocabulary import ref_vocabulary
from climate_ref_prefect.store.memory_recorder import MemoryRecorder
from climate_ref_prefect.store.reading_port import ExecutionReader
from climate_ref_prefect.transports.port import Transport
from climate_ref_prefect.transports.this_machine.in_parallel import LocalTransport

DataDirectories = Path | str | Mapping[str, Path | str]
"""A directory of CMIP6 files, or a directory for each of REF's source types (`cmip6`, `obs4ref` ...)."""


class RefDiagnosticReport(ExecutionsReport):
    """Report of executions of one of REF's diagnostics, recorded by this package."""

    @property
    def ok(self) -> bool:
        """Whether all of them have succeeded."""
        return not self.failed

    def headline(self) -> str:
        """Return the outcome in one sentence."""
        return f"{', '.join(self.counts())}; {self.seconds:.1f} s."

    def remarks(self) -> Iterator[str]:
        """Yield what to do next."""
        yield from self.next_steps()


def run_ref_diagnostic(
    diagnostic: str,
    data: DataDirectories,
    *,
    transport: Transport | Site = LocalTransport(),  # noqa: B008 - frozen
    dataset_filters: Sequence[str] = (),
    key: str | None = None,
    limit: int | None = None,
    recorder: MemoryRecorder | None = None,
) -> RefDiagnosticReport:
    """
    Run a diagnostic of REF on files, whether or not it is up to date, and record it outside of REF's database.

    Parameters
    ----------
    diagnostic
        Provider and diagnostic, for example `example/global-mean-timeseries`.
    data
        Where the files lie: a directory of CMIP6 files, or one for each of REF's source types.
    transport
        Where executions run.
    dataset_filters
        `facet=value`, as `ref solve --dataset-filter` takes them.
    key
        The one execution to run; None for all that the data give.
    limit
        Most executions.
    recorder
        Where the results are recorded; None for the store that the settings name. The store checks them against REF's
        vocabulary, if the settings name no other, and takes what is outside of it with a line in the log, as REF does.
        `MemoryRecorder(ref_vocabulary(), vocabulary_is_strict=False)` does the same.

    Raises
    ------
    UpstreamMissingError
        If climate-ref is missing.
    BadInputError
        If there is no such provider or diagnostic, or the data give no such execution.
    """
    request = RefSolveRequest(dataset_filters=dataset_filters, limit=limit)

    make_path_variables_absolute()

    def run() -> RefDiagnosticReport:
        began = time.monotonic()
        with short_retries(), escaped_logs(), ref_log_in_flow_run(), _workspace(recorder) as (workspace, reader, name):
            planned = _planned(diagnostic, data, request, key, workspace.settings)
            place = transport_of(transport)
            place.open(name)
            ran = run_planned(workspace, place, planned)
            report = RefDiagnosticReport(
                executions=read_rows(reader, ran.execution_ids),
                seconds=time.monotonic() - began,
                results_directory=str(workspace.results),
            )
            upstream.logger.info(report.headline())
            with best_effort("tables and plots there"):
                create_solve_artifacts(report)
        return report

    return flow(name="ref-run-diagnostic", validate_parameters=False)(run)()


@contextmanager
def _workspace(recorder: MemoryRecorder | None) -> Iterator[tuple[Workspace, ExecutionReader, str]]:
    """Open where to record; yield the workspace, what can be read of it, and the identity that transports get."""
    settings = Settings()
    if recorder is not None:
        with open_recorder_workspace(recorder, settings) as workspace:
            yield workspace, recorder, uuid4().hex
        return
    lenient = settings.model_copy(update={"vocabulary_is_strict": False})
    vocabulary = None if settings.vocabulary else ref_vocabulary()
    with open_workspace(lenient, coordinating=True, vocabulary=vocabulary) as workspace_on_store:
        yield workspace_on_store, workspace_on_store.store, workspace_on_store.store.identity()


def _planned(
    full_slug: str, data: DataDirectories, request: RefSolveRequest, key: str | None, settings: Settings
) -> tuple[PlannedExecution, ...]:
    config = load_configuration()
    config.cmip6_parser = "complete"  # REF's other parser leaves facets to its database, to be filled in later
    provider, diagnostic = _find(full_slug)
    catalogue = {
        upstream.SourceDatasetType(source_type): _filtered(_files(config, source_type, Path(directory)), request)
        for source_type, directory in _directories(data).items()
    }
    candidates = upstream.solve_executions(catalogue, diagnostic, provider)
    definitions = [_definition(one, settings.scratch_directory) for one in candidates]
    chosen = [one for one in definitions if key in (None, one.key)][: request.limit]
    if not chosen:
        keys = ", ".join(one.key for one in definitions) or "none"
        raise BadInputError(f"The data give no such execution of {full_slug}. Keys of those that they give: {keys}.")
    planner = ExecutionPlanner(config, Sizing(hint_table(None, settings.home_directory), {}), as_bundles=True)
    return tuple(planner.plan(one, provider_version=provider.version) for one in chosen)


def _definition(candidate: Any, scratch: Path) -> Any:
    # REF resolves links in the path, below which the worker's own path would then not lie.
    return upstream.evolve(candidate.build_execution_definition(output_root=scratch), root_directory=scratch)


def _find(full_slug: str) -> tuple[Any, Any]:
    slug, _, name = full_slug.partition("/")
    try:
        provider = provider_of_process(slug)
    except upstream.InvalidProviderException as error:
        raise BadInputError(f"REF has no provider {slug!r} here: {error}") from error
    known = {one.slug: one for one in provider.diagnostics()}
    if name not in known:
        raise BadInputError(f"{slug!r} has no diagnostic {name!r}. It has {', '.join(sorted(known))}.")
    return provider, known[name]


def _directories(data: DataDirectories) -> Mapping[str, Path | str]:
    return data if isinstance(data, Mapping) else {"cmip6": data}


def _files(config: Any, source_type: str, directory: Path) -> Any:
    """Return REF's catalogue of the files below a directory."""
    if not directory.is_dir():
        raise BadInputError(f"There is no directory {directory}.")
    options = {"config": config} if source_type in ("cmip6", "cmip7") else {}
    return upstream.get_dataset_adapter(source_type, n_jobs=1, **options).find_local_datasets(directory.absolute())


def _filtered(frame: Any, request: RefSolveRequest) -> Any:
    for facet, values in request.facets().items():
        if facet in frame.columns:
            frame = frame[frame[facet].isin(values)]
    return frame
