"""A provider for tests that imports numpy only when it runs."""

import random
from pathlib import Path

from climate_ref_prefect.diagnostics.provider import DiagnosticProvider
from tests.faulty_diagnostics import Behaving


def draw(_: Path) -> None:
    import numpy as np  # noqa: PLC0415 - that is what this is about

    print(*(random.random() for _ in range(3)), flush=True)  # noqa: T201 - this goes to run.log
    print(*np.random.random(3), flush=True)  # noqa: T201 - this goes to run.log


provider = DiagnosticProvider(slug="late", name="Late", version="1", diagnostics=[Behaving("draw", draw)])
