"""A provider whose diagnostics succeed, fail once, run out of memory or time once, or fail for good."""

import os
import time
from datetime import timedelta
from pathlib import Path

from climate_ref_prefect.diagnostics.errors import DiagnosticError
from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition
from climate_ref_prefect.diagnostics.provider import DiagnosticProvider
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from tests.flows.cluster_provider import Living, wait_for_go
from tests.flows.providers import fail_at_first, raise_error

TARGET = "tests.soak.provider:provider"
FAILS = "own-error"
"""The diagnostic that never succeeds."""
_SMALL = ResourceHint(memory_mb=120, wall_clock=timedelta(seconds=60))
_ENOUGH_MB = 240
_TAKEN_MB = 160


def take_memory(_: ExecutionDefinition, output: Path) -> None:
    """Take more than the first attempt may have, and wait to be stopped."""
    block = os.urandom(_TAKEN_MB << 20)
    if ExecutionDirectory(output.parent).read_envelope().resources.memory_mb < _ENOUGH_MB:
        time.sleep(600)
    del block


def take_time(_: ExecutionDefinition, output: Path) -> None:
    """Take longer than the first attempt may, but not than the second."""
    if ExecutionDirectory(output.parent).read_envelope().resources.wall_clock <= timedelta(seconds=1):
        time.sleep(600)


def work(definition: ExecutionDefinition, _: Path) -> None:
    """Take some tenths of a second, longer for some models than for others."""
    time.sleep(0.1 + len(definition.key) % 5 / 10)


provider = DiagnosticProvider(
    "soak",
    "Provider of the crash matrix and the soak",
    "1",
    [
        Living("good", work, _SMALL),
        Living("brief", resources=_SMALL),
        Living("waits-for-go", wait_for_go, _SMALL.model_copy(update={"wall_clock": timedelta(minutes=30)})),
        Living("flaky", fail_at_first, _SMALL),
        Living("hungry", take_memory, _SMALL),
        Living("late", take_time, _SMALL.model_copy(update={"wall_clock": timedelta(seconds=1)})),
        Living(FAILS, raise_error(DiagnosticError("no such method")), _SMALL),
    ],
)
