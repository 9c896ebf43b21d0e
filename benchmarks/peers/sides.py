"""The sides that are compared, and what an execution has on each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.peers import commands
from benchmarks.process_cost import Cost

Run = Callable[[str, Path, str, int], Cost]
"""Runs a number of tasks by what has a name, in a directory that is kept from run to run."""


@dataclass(frozen=True)
class Side:
    """
    One way to run tasks, two at a time.

    Attributes
    ----------
    run
        Runs them; raises `ProgramFailed` unless all of them succeed.
    program
        What `run` knows it by.
    slow
        Whether a task without work takes seconds, so that fewer of them tell enough.
    keeps
        Whether it keeps a home from run to run, so that the first run, which makes that, does not count.
    works
        What it can run.
    """

    run: Run
    program: str
    slow: bool = False
    keeps: bool = False
    works: Sequence[str] = ("noop", "real")


FORKS: Final = "forks"
OURS: Final = "climate-ref-prefect"
SIDES: Final[Mapping[str, Side]] = {
    FORKS: Side(commands.run_forks, ""),
    OURS: Side(commands.run_ours, "", keeps=True),
    "climate-ref synchronous": Side(commands.run_climate_ref, "synchronous"),
    "climate-ref local": Side(commands.run_climate_ref, "local", slow=True),
    "climate-ref hpc": Side(commands.run_climate_ref, "hpc"),
    "snakemake": Side(commands.run_snakemake, ""),
    "submitit": Side(commands.run_library, "submitit"),
    "parsl": Side(commands.run_library, "parsl"),
    "dask": Side(commands.run_library, "dask"),
    "prefect-threads": Side(commands.run_library, "prefect-threads", keeps=True, works=("noop",)),
    "prefect-processes": Side(commands.run_library, "prefect-processes", keeps=True),
}
"""netCDF does not bear threads, so that the real work cannot be run by `prefect-threads`."""
