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
        How many. The real ones start over with the first model where the models run out.
    directory
        Where each may write, below a directory of its own.
    """
    if work == "noop":
        return [((), "")] * count
    from benchmarks.overhead.real_work import monthly_historical_ta, sample_data_root  # noqa: PLC0415

    models = monthly_historical_ta(sample_data_root())
    outputs = [directory / str(number) for number in range(count)]
    for output in outputs:
        output.mkdir(parents=True)
    files = islice(cycle(models.values()), count)
    return [([str(file) for file in of_model], str(output)) for of_model, output in zip(files, outputs, strict=True)]


def run_task(task: Task) -> float:
    """Do what a diagnostic does, and return a number."""
    files, output = task
    if not files:
        return 1.0
    from benchmarks.overhead.real_work import annual_cycle  # noqa: PLC0415 - a no-op does without xarray

    return annual_cycle(files, output)["mean"]
