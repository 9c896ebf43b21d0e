"""What a doctor finds: a line that says whether something is well, and what to do where it is not."""

from enum import StrEnum
from typing import Final

from climate_ref_prefect.diagnostics.model import FrozenModel

_WIDTH: Final = 9


class Verdict(StrEnum):
    """How it stands with something."""

    OK = "ok"
    WRONG = "wrong"
    NOTE = "note"
    """Neither: to be known."""
    SKIPPED = "skipped"
    """It depends on what is wrong."""


class Finding(FrozenModel):
    """One thing that was looked at."""

    verdict: Verdict
    what: str
    remedy: str = ""
    """What to do about it."""
    details: tuple[str, ...] = ()
    """Lines that others have said, for example the end of a log."""

    def __str__(self) -> str:
        """Return a line, and one more for each detail."""
        remedy = f" -> {self.remedy}" if self.remedy else ""
        lines = [f"{self.verdict:<{_WIDTH}}{self.what}{remedy}"]
        return "\n".join([*lines, *(f"{'':<{_WIDTH}}| {line}" for line in self.details)])


def ok(what: str) -> Finding:
    """Say that something is well."""
    return Finding(verdict=Verdict.OK, what=what)


def wrong(what: str, remedy: str, details: tuple[str, ...] = ()) -> Finding:
    """Say that something is not well, and what to do."""
    return Finding(verdict=Verdict.WRONG, what=what, remedy=remedy, details=details)


def note(what: str) -> Finding:
    """Say what is neither well nor wrong."""
    return Finding(verdict=Verdict.NOTE, what=what)


def skipped(what: str, because: str) -> Finding:
    """Say that something was not looked at."""
    return Finding(verdict=Verdict.SKIPPED, what=f"{what}: {because}")
