"""Providers for the tests of the flows: runs leave notes, then some fail, wait or take more than they asked for."""

import hashlib
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from climate_ref_prefect.diagnostics.data_requirement import DataRequirement
from climate_ref_prefect.diagnostics.diagnostic import Diagnostic
from climate_ref_prefect.diagnostics.errors import DiagnosticError
from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition
from climate_ref_prefect.diagnostics.execution_result import ExecutionResult, Series
from climate_ref_prefect.diagnostics.metric_bundle import MetricBundle
from climate_ref_prefect.diagnostics.output_bundle import OutputBundle, OutputFile
from climate_ref_prefect.diagnostics.provider import DiagnosticProvider
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from tests.flows import tmpfs_disk
from tests.flows.run_log import DATABASE, Run, note_run, notes, read_runs

PER_MODEL = DataRequirement(filters={"variable_id": ("ta",)}, group_by=("source_id",))
SMALL = ResourceHint(memory_mb=200, wall_clock=timedelta(seconds=60))
NEEDS_MB = 100
"""What `hungry` takes beside the interpreter."""
_UNFINISHED = """
SELECT count(*) FROM execution e JOIN execution_group g ON g.id = e.group_id JOIN diagnostic d ON d.id = g.diagnostic_id
WHERE e.status != 'finished' AND d.slug != ?
"""
Act = Callable[[ExecutionDefinition, Path], None]


class Noting(Diagnostic):
    """Notes that it runs, does what a function says, and returns numbers that follow from the key."""

    data = PER_MODEL

    def __init__(self, slug: str, act: Act = lambda *_: None, resources: ResourceHint = SMALL) -> None:
        self.slug = slug  # type: ignore[misc]
        self.name = slug  # type: ignore[misc]
        self.resources = resources  # type: ignore[misc]
        self._act = act

    def run(self, definition: ExecutionDefinition, output_directory: Path) -> ExecutionResult:
        note_run(Run(definition.diagnostic, definition.key, str(output_directory.parent)))
        self._act(definition, output_directory)
        return numbers(definition, output_directory)


class Unlisted(Noting):
    """Returns a region that no vocabulary knows."""

    def run(self, definition: ExecutionDefinition, output_directory: Path) -> ExecutionResult:
        super().run(definition, output_directory)
        return ExecutionResult(metrics=MetricBundle.from_scalars(("region",), {("atlantis",): 1.0}))


class Publishing(Noting):
    """Returns what a function makes of the numbers: something that cannot be published or recorded."""

    def __init__(
        self, slug: str, change: Callable[[ExecutionResult, ExecutionDefinition, Path], ExecutionResult]
    ) -> None:
        super().__init__(slug)
        self._change = change

    def run(self, definition: ExecutionDefinition, output_directory: Path) -> ExecutionResult:
        return self._change(super().run(definition, output_directory), definition, output_directory)


def huge_integer(result: ExecutionResult, definition: ExecutionDefinition, _: Path) -> ExecutionResult:
    """Return a number that no float holds."""
    source = definition.selectors["source_id"]
    metrics = MetricBundle.from_scalars(("source_id", "statistic"), {(source, "mean"): 10**400})
    return result.model_copy(update={"metrics": metrics})


def lone_surrogate(result: ExecutionResult, *_: object) -> ExecutionResult:
    """Return a text that is not Unicode."""
    (series,) = result.series
    return result.model_copy(update={"series": (series.model_copy(update={"attributes": {"units": "\ud800"}}),)})


def link_log(result: ExecutionResult, _: ExecutionDefinition, output: Path) -> ExecutionResult:
    """Replace the log by a link to a private file."""
    (output.parent / "run.log").unlink()
    (output.parent / "run.log").symlink_to("/etc/passwd")
    return result


def log_directory(result: ExecutionResult, _: ExecutionDefinition, output: Path) -> ExecutionResult:
    """Replace the log by a directory."""
    (output.parent / "run.log").unlink()
    (output.parent / "run.log").mkdir()
    return result


class Growing(Noting):
    """Asks for more the more files it is given; too much for any machine."""

    def resources_for(self, definition: ExecutionDefinition) -> ResourceHint:
        files = sum(len(dataset.files) for dataset in definition.datasets)
        return self.resources.model_copy(update={"memory_mb": 50_000_000 * files, "cpu": 4_000})


class Unsizable(Noting):
    """Cannot say what it needs."""

    def resources_for(self, definition: ExecutionDefinition) -> ResourceHint:
        raise DiagnosticError("the table of sizes is gone")


class Crashing(Noting):
    """Takes its process along when it is asked what it needs."""

    def resources_for(self, definition: ExecutionDefinition) -> ResourceHint:
        os._exit(5)


def numbers(definition: ExecutionDefinition, output: Path) -> ExecutionResult:
    """Return a metric, a file and a series, which depend only on the key."""
    source = definition.selectors["source_id"]
    digest = hashlib.sha256(source.encode()).digest()
    values = tuple(byte / 7 for byte in digest[:12])
    (output / "values.txt").write_text(f"{values}\n")
    return ExecutionResult(
        metrics=MetricBundle.from_scalars(
            ("source_id", "statistic"), {(source, "mean"): sum(values) / 12, (source, "trend"): 1e-17 / values[0]}
        ),
        outputs=OutputBundle(data={"values": OutputFile(filename="values.txt", long_name="Twelve values")}),
        series=(Series(dimensions={"source_id": source}, index_name="month", index=tuple(range(12)), values=values),),
    )


def wait_for_file(path: Path) -> None:
    while not path.exists():
        time.sleep(0.01)


def fail_at_first(definition: ExecutionDefinition, _: Path) -> None:
    if len([run for run in read_runs(notes()) if run[:2] == (definition.diagnostic, definition.key)]) == 1:
        raise OSError("the disk is on fire")


def raise_error(error: Exception) -> Act:
    def act(*_: object) -> None:
        raise error

    return act


def take_memory(_: ExecutionDefinition, output: Path) -> None:
    """Take more than was asked for at first, and wait to be stopped; return as soon as there is room for it."""
    block = os.urandom(NEEDS_MB << 20)
    if ExecutionDirectory(output.parent).read_envelope().resources.memory_mb < NEEDS_MB:
        time.sleep(600)
    del block


def change_inputs(definition: ExecutionDefinition, _: Path) -> None:
    """Do as somebody who goes on copying data while a diagnostic reads them."""
    for path in (path for dataset in definition.datasets for path in dataset.files):
        with path.open("ab") as file:
            file.write(b"more")
    raise DiagnosticError("the data make no sense")


def wait_for_go(definition: ExecutionDefinition, _: Path) -> None:
    (notes() / f"started-{definition.key}").touch()
    wait_for_file(notes() / "go")


def fail_after_go(definition: ExecutionDefinition, output: Path) -> None:
    wait_for_go(definition, output)
    raise OSError("the disk is on fire")


def wait_for_others(definition: ExecutionDefinition, _: Path) -> None:
    """End only after all executions of other diagnostics have been finalised in the store."""
    give_up_at = time.monotonic() + 30
    with closing(sqlite3.connect(os.environ[DATABASE], isolation_level=None)) as connection:
        while connection.execute(_UNFINISHED, (definition.diagnostic,)).fetchone()[0]:
            if time.monotonic() > give_up_at:
                raise DiagnosticError("the others were held back")
            time.sleep(0.02)


def fail_then_wait(definition: ExecutionDefinition, output: Path) -> None:
    """Fail, but wait to be stopped when it is run for the second time."""
    if len(read_runs(notes())) == 2:
        wait_for_go(definition, output)
    raise OSError("the disk is on fire")


def spoil(how: Callable[[Path], object]) -> Act:
    """Make the test's disk useless as soon as all others are through, but once only."""

    def act(definition: ExecutionDefinition, output: Path) -> None:
        wait_for_others(definition, output)
        try:
            (notes() / "spoilt").touch(exist_ok=False)  # two may come here at once
        except FileExistsError:
            return
        how(notes().parents[1] / "disk")

    return act


def leave_much(_: ExecutionDefinition, output: Path) -> None:
    for number in range(50):
        (output / f"part{number}").write_bytes(os.urandom(1 << 20))


class Large(Noting):
    """Leaves files whose copying takes a while."""

    def run(self, definition: ExecutionDefinition, output_directory: Path) -> ExecutionResult:
        result = super().run(definition, output_directory)
        files = {path.name: OutputFile(filename=path.name) for path in sorted(output_directory.glob("part*"))}
        return result.model_copy(update={"outputs": OutputBundle(data=files)})


def spoil_documents(_: ExecutionDefinition, output: Path) -> None:
    """Damage what coordinator and worker know of each other by."""
    for name in ("envelope.json", "claim.json"):
        os.truncate(output.parent / name, 10)
    (output.parent / "telemetry.json").unlink(missing_ok=True)
    (output.parent / "telemetry.json").mkdir()


def block_outcome(_: ExecutionDefinition, output: Path) -> None:
    """Leave something in the place of the outcome that cannot be replaced."""
    (output.parent / "outcome.json" / "in the way").mkdir(parents=True)


def after(seconds: float) -> Act:
    return lambda *_: time.sleep(seconds)


DIAGNOSTICS = (
    Noting("good"),
    Noting("other"),
    Noting("wide", resources=SMALL.model_copy(update={"cpu": 2})),
    Noting("own-error", raise_error(DiagnosticError("no such method"))),
    Noting("os-error", raise_error(OSError("the disk is on fire"))),
    Noting("changes-inputs", change_inputs),
    Noting("flaky", fail_at_first),
    Noting("hungry", take_memory, SMALL.model_copy(update={"memory_mb": 50})),
    Noting("late", after(1.5), SMALL.model_copy(update={"wall_clock": timedelta(seconds=1)})),
    Noting("stuck", after(600), SMALL.model_copy(update={"wall_clock": timedelta(seconds=0.5)})),
    Noting("long", after(600)),
    Noting("waits-for-go", wait_for_go),
    Noting("fails-after-go", fail_after_go),
    Noting("waits-for-others", wait_for_others),
    Noting("fails-then-waits", fail_then_wait),
    Noting("fills-disk", spoil(tmpfs_disk.fill)),
    Noting("locks-disk", spoil(lambda path: tmpfs_disk.remount(path, "ro"))),
    Noting("spoils-documents", spoil_documents),
    Noting("blocks-outcome", block_outcome),
    Publishing("huge-integer", huge_integer),
    Publishing("lone-surrogate", lone_surrogate),
    Publishing("log-link", link_log),
    Publishing("log-directory", log_directory),
    Noting("moves-disk", spoil(lambda path: path.rename(path.with_name("elsewhere")))),
    Unlisted("unlisted"),
    Large("large", leave_much),
)
provider = DiagnosticProvider("flows", "Provider of these tests", "1", DIAGNOSTICS)
renewed = DiagnosticProvider("flows", "A later version of it", "2", DIAGNOSTICS)
fresh = DiagnosticProvider("fresh", "Starts an interpreter each", "1", DIAGNOSTICS, isolation="fresh")
growing = DiagnosticProvider("growing", "Asks for too much", "1", [Growing("good")])
unsizable = DiagnosticProvider("unsizable", "Cannot say what it needs", "1", [Unsizable("good")])
crashing = DiagnosticProvider("crashing", "Crashes when asked", "1", [Crashing("good")])
