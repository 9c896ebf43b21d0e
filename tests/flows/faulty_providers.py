"""Providers with invalid declarations, beside valid diagnostics."""

import os
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

from climate_ref_prefect.diagnostics.data_requirement import DataRequirement
from climate_ref_prefect.diagnostics.diagnostic import Diagnostic
from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition
from climate_ref_prefect.diagnostics.execution_result import ExecutionResult
from climate_ref_prefect.diagnostics.provider import DiagnosticProvider
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from tests.flows.providers import PER_MODEL, SMALL, Noting


class Free(Diagnostic):
    """Declares whatever it is given."""

    def __init__(self, slug: Any, **declared: Any) -> None:
        self.slug = slug  # type: ignore[misc]
        for name, value in {"name": "x", "data": PER_MODEL, "resources": SMALL, **declared}.items():
            setattr(self, name, value)

    def run(self, definition: ExecutionDefinition, output_directory: Path) -> ExecutionResult:
        raise NotImplementedError


class Raising(Free):
    """Raises where it is asked what it is called."""

    @property
    def name(self) -> str:
        raise RuntimeError("[/no] name\x1b[2J")

    @name.setter
    def name(self, _: str) -> None:
        pass


class SpeechlessError(Exception):
    """Cannot say what it means."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class Unspeakable(Raising):
    """Raises what cannot be printed where it is asked what it is called."""

    @property
    def name(self) -> str:
        raise SpeechlessError

    @name.setter
    def name(self, _: str) -> None:
        pass


class Sizing(Noting):
    """Answers whatever it is given where it is asked what it needs, for the first model alone if it is told so."""

    def __init__(self, slug: str, answer: Any, *, only_first: bool = False) -> None:
        super().__init__(slug)
        self._answer = answer
        self._only_first = only_first

    def resources_for(self, definition: ExecutionDefinition) -> ResourceHint:
        if self._only_first and definition.key != "ModelA":
            return SMALL
        return self._answer() if callable(self._answer) else self._answer  # type: ignore[no-any-return]


def fail() -> NoReturn:
    raise KeyError("ModelA is not in the table")


class Exiting(DiagnosticProvider):
    """Leaves where it is asked to describe itself."""

    def describe(self) -> NoReturn:
        sys.exit("no licence")


class Vanishing(DiagnosticProvider):
    """Ends its process where it is asked to describe itself."""

    def describe(self) -> NoReturn:
        os._exit(9)


class Interrupted(DiagnosticProvider):
    """Raises an exception that must not be handled when it is asked to describe itself."""

    def describe(self) -> NoReturn:
        raise KeyboardInterrupt


class Hanging(DiagnosticProvider):
    """Does not answer where it is asked to describe itself."""

    def describe(self) -> NoReturn:
        time.sleep(600)
        raise AssertionError


class Babbling(DiagnosticProvider):
    """Describes itself by something else."""

    def describe(self) -> Any:
        return ResourceHint()


class Printing(DiagnosticProvider):
    """Prints where it is asked to describe itself."""

    def describe(self) -> Any:
        print('{"slug": "other"}', flush=True)  # noqa: T201 - to see that it does no harm
        return super().describe()


FINE = Noting("fine")
SHORT = timedelta(minutes=1)
NAN: Any = float("nan")
declaring = DiagnosticProvider(
    "declaring",
    "Declares nonsense",
    "1",
    [
        FINE,
        Free("annual cycle"),
        Free("Capital"),
        Free("number-for-version", version=2),
        Free("none-for-version", version=None),
        Free("no-data", data=None),
        Free("facet", data=DataRequirement(group_by=("source",))),
        Free("filter", data=DataRequirement(filters={"variable": ("ta",)}, group_by=("source_id",))),
        Free("hint", resources={"memory_mb": -1}),
        Free("unchecked", resources=ResourceHint.model_construct(memory_mb=NAN, cpu=1, wall_clock=SHORT)),
        Free("unchecked-data", data=DataRequirement.model_construct(group_by=())),
        Free("half-a-letter", version="1\udcff"),
        Free("\udcff"),
        Unspeakable("unspeakable"),
        Raising("raising"),
    ],
)
sizing = DiagnosticProvider(
    "sizing",
    "Sizes nonsense",
    "1",
    [
        FINE,
        Sizing("none", None),
        Sizing("dictionary", {"memory_mb": 100}),
        Sizing("unchecked", ResourceHint.model_construct(memory_mb=-5, cpu=1, wall_clock=timedelta(1), queue=None)),
        Sizing("raises", fail),
        Sizing("exits", sys.exit),
        Sizing("first", fail, only_first=True),
    ],
)
bad_slug = DiagnosticProvider("Bad_Slug", "x", "1", [FINE])
half_a_letter = DiagnosticProvider("half-a-letter", "x", "1\udcff", [FINE])
no_version = DiagnosticProvider("no-version", "x", None, [FINE])  # type: ignore[arg-type]
bad_isolation = DiagnosticProvider("bad-isolation", "x", "1", [FINE], isolation="lukewarm")  # type: ignore[arg-type]
exiting = Exiting("exiting", "x", "1", [FINE])
vanishing = Vanishing("vanishing", "x", "1", [FINE])
interrupted = Interrupted("interrupted", "x", "1", [FINE])
hanging = Hanging("hanging", "x", "1", [FINE])
babbling = Babbling("babbling", "x", "1", [FINE])
printing = Printing("printing", "x", "1", [FINE])
namesake = DiagnosticProvider("flows", "Of the same name as another", "1", [FINE])
no_provider = {"slug": "x"}
