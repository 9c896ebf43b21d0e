"""The sides that the benchmark compares: each starts from a copy of the same climate-ref, and differs in `ref.toml`."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.ref.home import LOCAL, OURS, SYNCHRONOUS, RefHome
from tests.ref.made_data import write_members

from climate_ref_prefect.flows.server.local_server import local_server

ROOT = Path(__file__).resolve().parents[2]
PROVIDER = "benchmarks.ref.provider:provider"
HPC = "climate_ref.executor.HPCExecutor"
WORKERS = 2
NODE_MEMORY_MB = 8000
HINTS = "- {match: '*/*', memory_mb: 512, wall_clock: PT10M}\n"


@dataclass(frozen=True)
class Side:
    """
    One way to solve.

    Attributes
    ----------
    title
        For people.
    isolation
        What an execution shares with others.
    executor
        What `ref.toml` names.
    options
        Lines of `[executor.config]`, of a directory that all machines of the side see.
    needs_slurm
        Whether it runs on the private SLURM.
    with_server
        Whether a Prefect server answers beforehand.
    """

    title: str
    isolation: str
    executor: str
    options: Callable[[Path], Sequence[str]]
    needs_slurm: bool = False
    with_server: bool = False


def _on_this_machine(_: Path) -> Sequence[str]:
    return ('transport = "local"', f"cpu = {WORKERS}", f"memory_mb = {NODE_MEMORY_MB}")


def _in_a_job(shared: Path) -> Sequence[str]:
    node = f"{{cpu = {WORKERS}, memory_mb = {NODE_MEMORY_MB}}}"
    parts = (
        'kind = "slurm"',
        f'shared_directory = "{shared / "jobs"}"',
        'interface = "lo"',
        f'sizing = {{node = {node}, headroom_mb = 512, least_walltime = "PT30M"}}',
        "rules = {max_jobs = 1, poll_seconds = 1}",
    )
    return (f"transport = {{{', '.join(parts)}}}",)


def _by_parsl(shared: Path) -> Sequence[str]:
    return (
        'scheduler = "slurm"',
        'account = "none"',
        'username = "none"',
        'partition = "normal"',
        'walltime = "00:59:00"',
        f'log_dir = "{shared / "runinfo"}"',
        f"max_workers_per_node = {WORKERS}",
        'extra_executor = {address = "127.0.0.1"}',
    )


SIDES: Mapping[str, Side] = {
    "server": Side("this project, with a server up", "process", OURS, _on_this_machine, with_server=True),
    "own": Side("this project, its own start included", "process", OURS, _on_this_machine),
    "hpc": Side("HPCExecutor on SLURM", "shared worker", HPC, _by_parsl, needs_slurm=True),
    "slurm": Side(
        "this project on SLURM, with a server up", "process", OURS, _in_a_job, needs_slurm=True, with_server=True
    ),
    "local": Side("LocalExecutor", "process", LOCAL, lambda _: (f"n = {WORKERS}",)),
}


def make_template(directory: Path, count: int) -> RefHome:
    """Make a climate-ref that knows so many members of a model and has solved nothing."""
    environment = {"PYTHONPATH": str(ROOT), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    home = RefHome(directory / "template", directory, environment)
    for made in (home.configuration, directory / "home"):
        made.mkdir(parents=True)
    write_members(directory / "data", count)
    home.configure(SYNCHRONOUS, providers=(PROVIDER,))
    home.ref("db", "migrate")
    home.ref("datasets", "ingest", "--source-type", "cmip6", str(directory / "data"))
    return home


@contextmanager
def prepared(side: Side, template: RefHome, directory: Path, cluster: Mapping[str, str]) -> Iterator[RefHome]:
    """
    Give a copy of a climate-ref that solves as a side does.

    Parameters
    ----------
    side
        How it is to solve.
    template
        What is copied.
    directory
        Of the copy; does not exist yet.
    cluster
        Variables with which the commands of the private SLURM work.
    """
    shared = directory.with_name(f"{directory.name}-shared")
    (shared / "jobs").mkdir(parents=True, mode=0o700)
    variables = dict(cluster) if side.needs_slurm else {}
    if not side.with_server:
        yield _copy(side, template, directory, shared, variables)
        return
    with local_server(shared / "server") as server:
        yield _copy(side, template, directory, shared, {**variables, **server.variables})


def _copy(side: Side, template: RefHome, directory: Path, shared: Path, variables: Mapping[str, str]) -> RefHome:
    search_path = f"{Path(sys.executable).parent}{os.pathsep}{variables.get('PATH', os.environ['PATH'])}"
    home = template.copy_to(directory, **{**variables, "PATH": search_path})
    home.configure(side.executor, side.options(shared), (PROVIDER,))
    (directory / "climate-ref-prefect").mkdir()
    (directory / "climate-ref-prefect" / "hints.yaml").write_text(HINTS, encoding="utf-8")
    return home
