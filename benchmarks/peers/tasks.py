"""The tasks that every side runs: each is a list of files, and a directory for what is written."""

from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path

Task = tuple[Sequence[str], str]


def make_tasks(work: str, count: int, directory: Path) -> list[Task]:
    """
    Return the tasks of a measurement.

    Parameters
    ----------
    work
        `noop` or `real`.
    count
        How many.
    directory
        Where each may write, below a directory of its own.
    """
    if work == "noop":
        return [((), "")] * count
    outputs = [directory / str(number) for number in range(count)]
    for output in outputs:
        output.mkdir(parents=True)
    models = choose_models(count)
    return [([str(file) for file in files], str(output)) for (_, files), output in zip(models, outputs, strict=True)]


def choose_models(count: int) -> list[tuple[str, list[Path]]]:
    """Return the names and the files of some models of the sample data, starting over where the models run out."""
    from benchmarks.overhead.real_work import monthly_historical_ta, sample_data_root  # noqa: PLC0415 - needs xarray

    return list(islice(cycle(monthly_historical_ta(sample_data_root()).items()), count))


def run_task(task: Task) -> float:
    """Do what a diagnostic does, and return a number."""
    files, output = task
    if not files:
        return 1.0
    from benchmarks.overhead.real_work import annual_cycle  # noqa: PLC0415 - a no-op does without xarray

    return annual_cycle(files, output)["mean"]
