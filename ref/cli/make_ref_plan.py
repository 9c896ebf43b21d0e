"""`climate-ref-prefect ref plan`: what `ref solve` would run, what it asks for, and who gave each number."""

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import islice
from typing import Any, ClassVar

from climate_ref_prefect.diagnostics.base_models import FrozenModel
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.flows.display.tables import TabularReport
from climate_ref_prefect.flows.planning.clipped_resources import clipping_remark
from climate_ref_prefect.flows.transport_parameter import Site
from climate_ref_prefect.ref import upstream
from climate_ref_prefect.ref.cli.ref_configuration import executor_settings, load_configuration
from climate_ref_prefect.ref.hints.hint_models import SizedHint
from climate_ref_prefect.ref.hints.open_sizing import open_sizing
from climate_ref_prefect.ref.schema_revision import check_revision
from climate_ref_prefect.ref.solve_request import AS_CONFIGURED, NOTHING_LEFT_OUT, ConfiguredTransport, RefSolveRequest
from climate_ref_prefect.transports.port import ResourcesRefusedError, Transport
from climate_ref_prefect.transports.this_machine.in_parallel import ClippedResourcesWarning


class RefPlanRow(FrozenModel):
    """Executions of one diagnostic that ask for the same, for the same reasons."""

    full_slug: str
    executions: int
    hint: SizedHint
    granted: ResourceHint | None
    """What the transport gives each of them; None if it refuses them."""

    refused: str = ""
    """Why the transport refuses them."""


class RefPlan(TabularReport):
    """What a solve of REF would run."""

    columns: ClassVar = ("diagnostic", "executions", "resource", "asked for", "given", "who says so")

    rows: tuple[RefPlanRow, ...] = ()
    transport: str

    def headline(self) -> str:
        """Return the plan in one sentence."""
        count = sum(row.executions for row in self.rows)
        largest = max((row.granted.memory_mb for row in self.rows if row.granted), default=0)
        return f"{count} executions on {self.transport}, the largest with {largest} MiB."

    def cells(self) -> Iterator[tuple[str, ...]]:
        """Yield a row for each number of each diagnostic and size."""
        for row in self.rows:
            first = (row.full_slug, str(row.executions))
            for name, value in row.hint.resources:
                if value is not None:
                    given = str(getattr(row.granted, name)) if row.granted else "refused"
                    yield (*first, name, str(value), given, row.hint.reasons[name])
                    first = ("", "")

    def remarks(self) -> Iterator[str]:
        """Yield who is given less than it asks for, and who is refused, and why."""
        for row in self.rows:
            if row.granted is None:
                yield f"{row.full_slug} cannot be run: {row.refused}"
            elif clipped := clipping_remark(row.full_slug, row.hint.resources, row.granted, self.transport):
                yield clipped

    @property
    def ok(self) -> bool:
        """Whether the transport takes everything."""
        return all(row.granted for row in self.rows)


def make_ref_plan(
    request: RefSolveRequest = NOTHING_LEFT_OUT, transport: Transport | Site | ConfiguredTransport = AS_CONFIGURED
) -> RefPlan:
    """
    Return what `ref solve` would run now. Nothing runs; like `ref solve --dry-run`, it registers providers with REF.

    Parameters
    ----------
    request
        What to solve.
    transport
        Where it would run.

    Raises
    ------
    BadInputError
        If an option of the executor, or the table of hints, is invalid, no provider matches, or REF's database is not
        migrated.
    """
    config = load_configuration()
    settings = executor_settings(config, transport)
    workspace = settings.workspace_settings(config, upstream.configuration_directory())
    sizing = open_sizing(config, workspace, settings.hints)
    with closing(upstream.Database.from_config(config, run_migrations=False)) as database:
        check_revision(database, config)
        due = islice(_chosen(_due(config, database, request), request), request.limit)
        sizes = [(definition.diagnostic_full_slug, sizing.of(definition).model_dump_json()) for definition in due]
    place = settings.open_transport(workspace)
    rows = tuple(
        _row(slug, count, SizedHint.model_validate_json(hint), place) for (slug, hint), count in Counter(sizes).items()
    )
    return RefPlan(rows=rows, transport=place.name)


def _row(full_slug: str, executions: int, hint: SizedHint, transport: Transport) -> RefPlanRow:
    granted, refused = None, ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ClippedResourcesWarning)  # The remarks of the plan say the same.
            granted = transport.check(hint.resources)
    except ResourcesRefusedError as error:
        refused = str(error)
    return RefPlanRow(full_slug=full_slug, executions=executions, hint=hint, granted=granted, refused=refused)


def _due(config: Any, database: Any, request: RefSolveRequest) -> Iterator[Any]:
    solver = upstream.ExecutionSolver.build_from_db(config, database)
    request.check_providers(solver)
    for candidate in solver.solve(request.filters()):
        definition = candidate.build_execution_definition(output_root=config.paths.scratch)
        with database.session.begin():
            group = _group(database.session, candidate, definition.key)
            is_due = group is None or group.should_run(definition.datasets.hash, rerun_failed=request.rerun_failed)
        if is_due:
            yield definition


def _chosen(due: Iterable[Any], request: RefSolveRequest) -> Iterator[Any]:
    """Yield one definition of each provider or diagnostic where that is asked for, else all."""
    seen: set[str] = set()
    for definition in due:
        full_slug = definition.diagnostic_full_slug
        provider = full_slug.partition("/")[0]
        is_second = (request.one_per_provider and provider in seen) or (
            request.one_per_diagnostic and full_slug in seen
        )
        seen |= {provider, full_slug}
        if not is_second:
            yield definition


def _group(session: Any, candidate: Any, key: str) -> Any:
    """Return REF's group of an execution that it may run; None if it has made none."""
    groups = session.query(upstream.ExecutionGroup).join(upstream.Diagnostic).join(upstream.Provider)
    return groups.filter(
        upstream.ExecutionGroup.key == key,
        upstream.ExecutionGroup.diagnostic_version == candidate.diagnostic.version,
        upstream.Diagnostic.slug == candidate.diagnostic.slug,
        upstream.Provider.slug == candidate.provider.slug,
    ).one_or_none()
