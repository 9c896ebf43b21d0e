"""
A provider of REF's whose executions do what files beside `ref.toml` say.

`behaviour-SOURCE`, or else `behaviour`, holds one word of `BEHAVIOURS`, and what it takes; without either an execution
succeeds. `import` says what happens in a worker that imports this module: `hold`, or anything else for a failure.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from climate_ref_prefect.ref import upstream
from tests.flows.tmpfs_disk import fill

datasets: Any = import_module("climate_ref_core.datasets")
diagnostics: Any = import_module("climate_ref_core.diagnostics")
providers: Any = import_module("climate_ref_core.providers")

VALUE = 1.5
HELD = "held-"
"""A held execution leaves a file of this name and its source."""
RELEASE = "release"
"""Lets all that are held go on."""
IMPORT = "import"
RUNS = "runs"
"""Has a line for each attempt that has begun: its source, and its batch job or a dash."""
UNHEALTHY = "unhealthy"
"""Where it is there, the provider says to REF's check before a solve that it cannot work on this machine."""
TAKEN_MB = 400
"""What a hungry execution takes."""


def _directory() -> Path:
    return Path(os.environ[upstream.CONFIGURATION_VARIABLE])


def _hold(source: str) -> None:
    (_directory() / f"{HELD}{source}").write_text(str(os.getpid()), encoding="utf-8")
    while not (_directory() / RELEASE).exists():
        time.sleep(0.05)


def _hold_once(source: str) -> None:
    if is_first_attempt(source):
        _hold(source)


def is_first_attempt(source: str) -> bool:
    """Whether nothing has been tried for a source yet."""
    tried = _directory() / f"tried-{source}"
    try:
        tried.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _use_memory(source: str, mebibytes: str) -> None:
    used = b"x" * (int(mebibytes) << 20)
    _hold(source)
    del used


def _use_memory_and_hold_once(source: str, mebibytes: str) -> None:
    is_first = is_first_attempt(source)  # before it takes memory, which may be the end of it
    used = b"x" * (int(mebibytes) << 20)
    if is_first:
        _hold(source)
    del used


def _take_memory(source: str) -> None:
    assert len(b"x" * (TAKEN_MB << 20)) > 0


def _fill_scratch_once(source: str) -> None:
    if is_first_attempt(source):
        fill(Path(upstream.Config.default().paths.scratch))
        raise OSError(28, f"nothing of {source} can be written")


def _raise_value_error(source: str) -> None:
    raise ValueError(f"nothing can be computed of {source}")


def _raise_os_error(source: str) -> None:
    raise OSError(5, f"the disk of {source} is broken")


def _kill_itself(source: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


BEHAVIOURS: Mapping[str, Callable[..., None]] = {
    "hold": _hold,
    "hold-once": _hold_once,
    "hungry": _take_memory,
    "memory": _use_memory,
    "memory-once": _use_memory_and_hold_once,
    "fill-scratch-once": _fill_scratch_once,
    "value-error": _raise_value_error,
    "os-error": _raise_os_error,
    "kill": _kill_itself,
}


def behaviour_of(source: str) -> list[str]:
    """Return the words that say what the execution of a source does; an empty one if nothing does."""
    for name in (f"behaviour-{source}", "behaviour"):
        if (path := _directory() / name).exists():
            return path.read_text(encoding="utf-8").split()
    return [""]


def _behave_while_imported() -> None:
    word = _directory() / IMPORT
    if Path(sys.argv[0]).name == "ref" or not word.exists():
        return
    if word.read_text(encoding="utf-8") != "hold":
        raise ImportError("a library of the trial is missing")
    _hold(IMPORT)


class Trial(diagnostics.Diagnostic):  # type: ignore[misc]  # known when it is run
    """Computes one number of each model."""

    name = "Trial"
    slug = "trial_v1.0"
    data_requirements = (
        diagnostics.DataRequirement(
            source_type=datasets.SourceDatasetType.CMIP6,
            filters=(datasets.FacetFilter(facets={"variable_id": ("tas",)}),),
            group_by=("source_id",),
        ),
    )
    facets = ("source_id", "statistic")

    def execute(self, definition: Any) -> None:
        """Do what the files say."""
        source = self._source(definition)
        with (_directory() / RUNS).open("a", encoding="utf-8") as runs:
            runs.write(f"{source} {os.environ.get('SLURM_JOB_ID', '-')}\n")
        word, *rest = behaviour_of(source)
        if word:
            BEHAVIOURS[word](source, *rest)

    def build_execution_result(self, definition: Any) -> Any:
        """Return the number."""
        source = self._source(definition)
        outputs = upstream.CMECOutput.create_template()
        metrics = {
            "DIMENSIONS": {
                "json_structure": ["source_id", "statistic"],
                "source_id": {source: {}},
                "statistic": {"trend": {}},
            },
            "RESULTS": {source: {"trend": VALUE}},
        }
        return diagnostics.ExecutionResult.build_from_output_bundle(
            definition, cmec_output_bundle=outputs, cmec_metric_bundle=metrics
        )

    def _source(self, definition: Any) -> str:
        return str(definition.datasets["cmip6"].selector_dict()["source_id"])


class Provider(providers.DiagnosticProvider):  # type: ignore[misc]  # known when it is run
    """Is as healthy as a test says."""

    def check_health(self, config: Any) -> list[str]:
        """Return what keeps it from working on this machine."""
        return ["a test says so"] if (_directory() / UNHEALTHY).exists() else []


_behave_while_imported()
provider = Provider("Trial", "1")
provider.register(Trial())
