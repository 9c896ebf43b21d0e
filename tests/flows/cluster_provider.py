"""A provider for flows on a cluster. Its diagnostics note their runs, and wait, fail or use too much on request."""

import os
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from climate_ref_prefect.diagnostics.diagnostic import Diagnostic
from climate_ref_prefect.diagnostics.errors import DiagnosticError
from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition
from climate_ref_prefect.diagnostics.execution_result import ExecutionResult
from climate_ref_prefect.diagnostics.provider import DiagnosticProvider
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from tests.flows.providers import PER_MODEL, after, numbers, raise_error, wait_for_file
from tests.flows.run_intervals import noted
from tests.flows.run_log import Run, note_run, notes

SMALL = ResourceHint(memory_mb=64, wall_clock=timedelta(seconds=60))
ENOUGH_MB = 128
"""With this, `hungry` is content."""
_MOST_MB = 2000
"""More memory than any job here may have. An execution that reaches it was not limited."""
Act = Callable[[ExecutionDefinition, Path], None]


class Living(Diagnostic):
    """Notes its life, does what a function says, and returns numbers that follow from the key."""

    data = PER_MODEL

    def __init__(self, slug: str, act: Act = lambda *_: None, resources: ResourceHint = SMALL) -> None:
        self.slug = slug  # type: ignore[misc]
        self.name = slug  # type: ignore[misc]
        self.resources = resources  # type: ignore[misc]
        self._act = act

    def run(self, definition: ExecutionDefinition, output_directory: Path) -> ExecutionResult:
        run = Run(definition.diagnostic, definition.key, str(output_directory.parent))
        note_run(run)
        with noted(run):
            self._act(definition, output_directory)
        return numbers(definition, output_directory)


def wait_for_go(definition: ExecutionDefinition, _: Path) -> None:
    """Write a file when it has started, then wait for the signal to go on: all, or this key."""
    _say_started(definition)
    while not any((notes() / name).exists() for name in ("go", f"go-{definition.key}")):
        time.sleep(0.01)


def wait_at_first(definition: ExecutionDefinition, _: Path) -> None:
    """Wait to be stopped, but at the first attempt only."""
    if not started(notes(), definition.diagnostic, definition.key).exists():
        _say_started(definition)
        wait_for_file(notes() / "never")


def started(directory: Path, diagnostic: str, key: str) -> Path:
    """Return the note that an execution has begun to wait."""
    return directory / f"started-{diagnostic}-{key}"


def _say_started(definition: ExecutionDefinition) -> None:
    started(notes(), definition.diagnostic, definition.key).touch()


def work(definition: ExecutionDefinition, output: Path) -> None:
    """Take up to a second; some keys fail, some take more memory than they asked for, some wait for their walltime."""
    number = number_of(definition.key)
    time.sleep(number % 10 / 10)
    if fails(definition.key):
        raise DiagnosticError("no such method")
    if number % 13 == 0:
        take_memory(definition, output)
    if waits_for_walltime(definition.diagnostic, definition.key):
        wait_at_first(definition, output)


def fails(key: str) -> bool:
    """Whether `work` fails for a key, however often it is tried."""
    return number_of(key) % 9 == 8


def waits_for_walltime(diagnostic: str, key: str) -> bool:
    """Whether `work` waits for the end of its job's walltime at the first attempt."""
    return diagnostic == "long" and number_of(key) % 20 == 3


def number_of(key: str) -> int:
    """Return the number at the end of a model's name."""
    return int(key.removeprefix("Model"))


def take_memory(_: ExecutionDefinition, output: Path) -> None:
    """Take memory until the kernel puts an end to it, unless enough was asked for."""
    blocks = []
    while ExecutionDirectory(output.parent).read_envelope().resources.memory_mb < ENOUGH_MB:
        blocks.append(os.urandom(10 << 20))
        if len(blocks) * 10 > _MOST_MB:
            raise DiagnosticError("nobody stopped it")


provider = DiagnosticProvider(
    "cluster",
    "Provider of the tests on a cluster",
    "1",
    [
        Living("good"),
        Living("own-error", raise_error(DiagnosticError("no such method"))),
        Living("hungry", take_memory),
        Living("late", after(1.5), SMALL.model_copy(update={"wall_clock": timedelta(seconds=1)})),
        Living("stopped", wait_at_first),
        Living("too-large", resources=SMALL.model_copy(update={"memory_mb": 90_000})),
        Living("waits-for-go", wait_for_go),
        Living("small", resources=SMALL.model_copy(update={"memory_mb": 200})),
        Living("plain", work),
        Living("large", work, SMALL.model_copy(update={"memory_mb": 120})),
        Living("wide", work, SMALL.model_copy(update={"cpu": 2})),
        Living("long", work, SMALL.model_copy(update={"wall_clock": timedelta(minutes=30)})),
        Living("tagged", work, SMALL.model_copy(update={"queue": "tagged"})),
        Living("queued", resources=SMALL.model_copy(update={"queue": "tagged"})),
    ],
)
