def use_local_provider() -> None:
    """Make `HPCExecutor` ask Parsl's `LocalProvider` for its block instead of SLURM."""
    from climate_ref.executor import hpc
    from parsl.providers import LocalProvider

    def local_provider(**options: Any) -> "LocalProvider":
        kept = ("nodes_per_block", "max_blocks", "worker_init", "cmd_timeout")
        return LocalProvider(**{name: options[name] for name in kept})

    hpc.SlurmProvider = local_provider


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
    search_path = f"{Path(sys.executable).parent}:$PATH"
    return {
        "scheduler": "slurm",
        "account": "none",
        "username": "none",
        "partition": "none",
        "log_dir": str(root / "runinfo"),
        "walltime": "06:00:00",
        "cores_per_worker": 1,
        "max_workers_per_node": workers,
        "worker_init": f'export PATH="{search_path}" PYTHONPATH={shlex.quote(str(HERE))}',
        "extra_executor": {"address": "127.0.0.1"},
    }


def open_climate_ref(options: argparse.Namespace, root: Path) -> tuple["Config", "Database", "Diagnostic"]:
    """Make a configuration and a migrated SQLite database, and register the provider.

    Parameters
    ----------
    options
        The command line.
    root
        Directory named by `REF_CONFIGURATION`.
    """
    from climate_ref.config import Config, DiagnosticProviderConfig
    from climate_ref.database import Database
    from climate_ref.provider_registry import ProviderRegistry
    from climate_ref_core.logging import initialise_logging

    config = Config.default()
    config.diagnostic_providers = [DiagnosticProviderConfig(provider="peers_provider:provider")]
    config.executor.executor = EXECUTORS[options.executor]
    config.executor.config = executor_options(options.executor, options.workers, root)
    initialise_logging(config.log_level, config.log_format, config.paths.log)
    database = Database.from_config(config)
    registry = ProviderRegistry.build_from_config(config, database)
    return config, database, registry.get_metric("overhead", options.work)


def create_executions(config: "Config", database: "Database", diagnostic: "Diagnostic", work: Work) -> list[Submission]:
    """Write one group and one execution row each, the way `ref solve` does before it submits.

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
    """
    import attrs
    from climate_ref.executor.fragment import PLACEHOLDER_FRAGMENT, assign_execution_fragment
    from climate_ref.models import Diagnostic as DiagnosticModel
    from climate_ref.models import Execution, ExecutionGroup
    from climate_ref.solver import DiagnosticExecution

    with database.session.begin():
        diagnostic_id = database.session.query(DiagnosticModel.id).filter_by(slug=diagnostic.slug).scalar()
    submissions: list[Submission] = []
    for index, (model, paths) in enumerate(work):
        planned = DiagnosticExecution(diagnostic.provider, diagnostic, describe_datasets(model, index, paths))
        definition = planned.build_execution_definition(config.paths.scratch)
        with database.session.begin():
            group, _ = database.get_or_create(
                ExecutionGroup,
                key=definition.key,
                diagnostic_id=diagnostic_id,
                diagnostic_version=diagnostic.version,
                defaults={"selectors": planned.selectors, "dirty": True},
            )
            database.session.flush()
            execution = Execution(
                execution_group=group,
                dataset_hash=definition.datasets.hash,
                output_fragment=PLACEHOLDER_FRAGMENT,
                provider_version=diagnostic.provider.version,
            )
            database.session.add(execution)
            fragment = assign_execution_fragment(
                database.session,
                execution,
                provider_slug=diagnostic.provider.slug,
                diagnostic_slug=diagnostic.slug,
                selectors=planned.selectors,
                group_id=group.id,
            )
            database.session.expunge(execution)
        output_directory = config.paths.scratch.resolve() / fragment
        submissions.append((attrs.evolve(definition, output_directory=output_directory), execution))
    return submissions


def describe_datasets(model: str, index: int, paths: Iterable[Path]) -> Any:
    """Build the dataset collection of one execution, unique by its member.

    Parameters
    ----------
    model
        CMIP6 `source_id`.
    index
        Number of the execution.
    paths
        Input files.
    """
    import pandas as pd
    from climate_ref_core.datasets import DatasetCollection, ExecutionDatasetCollection, SourceDatasetType

    member = f"r{index}"
    rows = pd.DataFrame({"path": [str(path) for path in paths]})
    rows = rows.assign(instance_id=f"{model}.{member}", source_id=model, member_id=member, variable_id="ta")
    selector = (("source_id", model), ("member_id", member))
    collection = DatasetCollection(rows, "instance_id", selector)
    return ExecutionDatasetCollection({SourceDatasetType.CMIP6: collection})


def count_successes(config: "Config", scalars_each: int) -> int:
    """Count the successful executions in the database, through a connection of its own.

    Parameters
    ----------
    config
        climate-ref's configuration.
    scalars_each
        Scalar values that each successful execution must have in the database.

    Raises
    ------
    RuntimeError
        The number of ingested scalars does not fit.
    """
    from climate_ref.database import Database
    from climate_ref.models import Execution, ScalarMetricValue

    with Database.from_config(config, run_migrations=False) as database:
        succeeded = database.session.query(Execution).filter_by(successful=True).count()
        scalars = database.session.query(ScalarMetricValue).count()
    if scalars != succeeded * scalars_each:
        raise RuntimeError(f"{succeeded} successes but {scalars} scalars, not {scalars_each} each")
    return int(succeeded)
