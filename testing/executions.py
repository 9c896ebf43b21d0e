"""Executions that are ready to run: a directory with an envelope in it."""

import itertools
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from climate_ref_prefect.diagnostics.execution_definition import (
    Dataset,
    ExecutionDefinition,
    Isolation,
    ProviderReference,
)
from climate_ref_prefect.diagnostics.file_fingerprint import current_fingerprint
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.envelope import ExecutionEnvelope, WorkerLimits
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.testing.providers.contract_provider import SMALL, provider

WARM = "climate_ref_prefect.testing.providers.contract_provider:provider"
QUICK = WorkerLimits(import_deadline_seconds=60, kill_grace_seconds=0.3, heartbeat_seconds=0.2)
"""Limits that let a test wait no longer than it has to."""
IMPATIENT = QUICK.model_copy(update={"import_deadline_seconds": 1.0})
"""Limits for a provider that is not imported in time."""
_numbers = itertools.count(1)


class Prepare:
    """
    Makes executions of the diagnostics in `climate_ref_prefect.testing.providers.contract_provider`.

    Parameters
    ----------
    scratch
        Where their directories go.
    """

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch

    def __call__(
        self,
        diagnostic: str = "noop",
        *,
        target: str = WARM,
        isolation: Isolation = "warm",
        limits: WorkerLimits = QUICK,
        wall_clock_seconds: float | None = None,
        files: Sequence[Path] = (),
        key: str = "CanESM5",
        **resources: Any,
    ) -> tuple[Path, ResourceHint]:
        """Return the directory of a new execution, and what the diagnostic asks for with some of it replaced."""
        number = next(_numbers)
        if wall_clock_seconds is not None:
            resources["wall_clock"] = timedelta(seconds=wall_clock_seconds)
        known = provider.diagnostics.get(diagnostic)
        hint = (known.resources if known else SMALL).model_copy(update=resources)
        envelope = ExecutionEnvelope(
            execution_id=number,
            fragment=f"test/{diagnostic}/{number}",
            provider=ProviderReference(target=target, isolation=isolation),
            definition=define(diagnostic, files, key),
            resources=hint,
            limits=limits,
        )
        directory = ExecutionDirectory(self._scratch / envelope.fragment)
        directory.write_envelope(envelope)
        return directory.path, hint


def define(diagnostic: str, files: Sequence[Path] = (), key: str = "CanESM5") -> ExecutionDefinition:
    """Return a definition with one data set: of the present files, or of a file that is never opened."""
    dataset = Dataset(
        instance_id="CMIP6.CanESM5",
        facets={"source_id": "CanESM5"},
        files=tuple(files) or (Path("/none.nc"),),
        fingerprint=current_fingerprint(files) if files else "1",
        fingerprint_of="files" if files else "other",
    )
    return ExecutionDefinition(
        provider="test",
        provider_version="1",
        diagnostic=diagnostic,
        diagnostic_version="1",
        key=key,
        selectors={"source_id": "CanESM5"},
        datasets=(dataset,),
    )
