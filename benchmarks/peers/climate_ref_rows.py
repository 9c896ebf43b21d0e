"""
What `climate_ref_executors` needs of climate-ref: its database, its rows of executions, its executors.

Import it only after `REF_CONFIGURATION` is set: climate-ref reads its environment on import.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import pandas as pd
from climate_ref.config import Config, DiagnosticProviderConfig
from climate_ref.database import Database
from climate_ref.executor import LocalExecutor, hpc
from climate_ref.executor.fragment import PLACEHOLDER_FRAGMENT, assign_execution_fragment
from climate_ref.models import Diagnostic as DiagnosticModel
from climate_ref.models import Execution, ExecutionGroup, ScalarMetricValue
from climate_ref.provider_registry import ProviderRegistry
from climate_ref.solver import DiagnosticExecution
from climate_ref_core.datasets import DatasetCollection, ExecutionDatasetCollection, SourceDatasetType
from climate_ref_core.diagnostics import Diagnostic, ExecutionDefinition
from climate_ref_core.executor import Executor
from climate_ref_core.logging import initialise_logging
from parsl.providers import LocalProvider

EXECUTORS = {
    "synchronous": "climate_ref.executor.SynchronousExecutor",
    "local": "climate_ref.executor.LocalExecutor",
    "hpc": "climate_ref.executor.HPCExecutor",
}
SCALARS_PER_EXECUTION = {"noop": 1, "real": 5}
SLUGS = {"noop": "no-op", "real": "real"}

Work = Sequence[tuple[str, list[Path]]]
Submission = tuple[ExecutionDefinition, Execution]


def executor_options(name: str, workers: int, root: Path) -> dict[str, Any]:
    """Give the `[executor.config]` table of climate-ref's configuration.

    Parameters
    ----------
    name
        `local`, `synchronous` or `hpc`.
    workers
        Worker processes.
    root
        Where Parsl keeps its run directory.
    """
    if name == "local":
        return {"n": workers}
    if name == "synchronous":
        return {}
    return {
        "scheduler": "slurm",
        "account": "none",
        "username": "none",
        "partition": "none",
        "log_dir": str(root / "runinfo"),
        "walltime": "06:00:00",
        "cores_per_worker": 1,
        "max_workers_per_node": workers,
        "extra_executor": {"address": "127.0.0.1"},
    }


def use_local_provider() -> None:
    """Make `HPCExecutor` ask Parsl's `LocalProvider` for its block instead of SLURM."""

    def local_provider(**options: Any) -> LocalProvider:
        kept = ("nodes_per_block", "max_blocks", "worker_init", "cmd_timeout")
        return LocalProvider(**{name: options[name] for name in kept})

    hpc.SlurmProvider = local_provider  # type: ignore[assignment, attr-defined, unused-ignore]


def open_climate_ref(executor: str, work: str, workers: int, root: Path) -> tuple[Config, Database, Diagnostic]:
    """Make a configuration and a migrated SQLite database, and register the provider.

    Parameters
    ----------
    executor
        `local`, `synchronous` or `hpc`.
    work
        `noop` or `real`, the diagnostic to return.
    workers
        Worker processes.
    root
        Directory named by `REF_CONFIGURATION`.
    """
    if executor == "hpc":
        use_local_provider()
    config = Config.default()
    config.diagnostic_providers = [DiagnosticProviderConfig(provider="benchmarks.peers.climate_ref_provider:provider")]
    config.executor.executor = EXECUTORS[executor]
    config.executor.config = executor_options(executor, workers, root)
    initialise_logging(config.log_level, config.log_format, config.paths.log)
    database = Database.from_config(config)
    registry = ProviderRegistry.build_from_config(config, database)
    return config, database, registry.get_metric("peers", SLUGS[work])


def create_executions(config: Config, database: Database, diagnostic: Diagnostic, work: Work) -> list[Submission]:
    """Write a group and an execution row for each piece of work, as `ref solve` does.

    Parameters
    ----------
    config
        climate-ref's configuration.
    database
        climate-ref's database.
    diagnostic
        The registered diagnostic.
    work
        Model and files of each execution.

    Returns
    -------
    :
        Definition and row of each execution, ready for `executor.run`.
    """
    with database.session.begin():
        diagnostic_id = database.session.query(DiagnosticModel.id).filter_by(slug=diagnostic.slug).scalar()
    submissions: list[Submission] = []
    for index, (model, paths) in enumerate(work):
        datasets = _datasets(model, f"r{index + 1}", paths)
        planned = DiagnosticExecution(diagnostic.provider, diagnostic, datasets)
        definition = planned.build_execution_definition(config.paths.scratch)
        with database.session.begin():
            execution = _create_rows(database, planned, definition, diagnostic_id)
            database.session.expunge(execution)
        output_directory = config.paths.scratch.resolve() / execution.output_fragment
        submissions.append((attrs.evolve(definition, output_directory=output_directory), execution))
    return submissions


def close_pool(executor: Executor) -> None:
    """Stop the worker processes that `LocalExecutor.join` leaves behind.

    Parameters
    ----------
    executor
        Any climate-ref executor that has been joined.
    """
    if isinstance(executor, LocalExecutor):
        executor.pool.shutdown()


def count_successes(config: Config, work: str) -> int:
    """Count the successful executions in the database, through a connection of its own.

    Parameters
    ----------
    config
        climate-ref's configuration.
    work
        `noop` or `real`, which says how many scalars each success must have ingested.

    Raises
    ------
    RuntimeError
        The number of ingested scalars does not fit.
    """
    with Database.from_config(config, run_migrations=False) as database:
        succeeded = database.session.query(Execution).filter_by(successful=True).count()
        scalars = database.session.query(ScalarMetricValue).count()
    expected = succeeded * SCALARS_PER_EXECUTION[work]
    if scalars != expected:
        raise RuntimeError(f"{succeeded} successes but {scalars} scalars ingested instead of {expected}")
    return int(succeeded)


def _create_rows(
    database: Database, planned: DiagnosticExecution, definition: ExecutionDefinition, diagnostic_id: int
) -> Execution:
    group, _ = database.get_or_create(
        ExecutionGroup,
        key=definition.key,
        diagnostic_id=diagnostic_id,
        diagnostic_version=planned.diagnostic.version,
        defaults={"selectors": planned.selectors, "dirty": True},
    )
    database.session.flush()
    execution = Execution(
        execution_group=group,
        dataset_hash=definition.datasets.hash,
        output_fragment=PLACEHOLDER_FRAGMENT,
        provider_version=planned.provider.version,
    )
    database.session.add(execution)
    assign_execution_fragment(
        database.session,
        execution,
        provider_slug=planned.provider.slug,
        diagnostic_slug=planned.diagnostic.slug,
        selectors=planned.selectors,
        group_id=group.id,
    )
    return execution


def _datasets(model: str, member: str, paths: list[Path]) -> ExecutionDatasetCollection:
    rows = pd.DataFrame({"path": [str(path) for path in paths]})
    rows = rows.assign(instance_id=f"{model}.{member}", source_id=model, member_id=member, variable_id="ta")
    selector = (("source_id", model), ("member_id", member))
    collection = DatasetCollection(rows, "instance_id", selector)
    return ExecutionDatasetCollection({SourceDatasetType.CMIP6: collection})
