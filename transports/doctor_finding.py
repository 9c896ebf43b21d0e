"""A finding of the doctor: the result of one check in a line, with what to do if it failed."""

from enum import StrEnum
from typing import Final

from climate_ref_prefect.diagnostics.base_models import FrozenModel

_WIDTH: Final = 9


class CheckStatus(StrEnum):
    """The status of a check."""

    OK = "ok"
    WRONG = "wrong"
    NOTE = "note"
    """Neither passed nor failed, but worth knowing."""
    SKIPPED = "skipped"
    """Not checked, because it depends on a check that failed."""


class Finding(FrozenModel):
    """The result of one check."""

    verdict: CheckStatus
    what: str
    remedy: str = ""
    """What to do about it."""
    details: tuple[str, ...] = ()
    """Lines from other programs, for example the end of a log."""

    def __str__(self) -> str:
        """Return a line, and one more for each detail."""
        remedy = f" -> {self.remedy}" if self.remedy else ""
        lines = [f"{self.verdict:<{_WIDTH}}{self.what}{remedy}"]
        return "\n".join([*lines, *(f"{'':<{_WIDTH}}| {line}" for line in self.details)])


def ok(what: str) -> Finding:
    """Return the finding of a check that passed."""
    return Finding(verdict=CheckStatus.OK, what=what)


def wrong(what: str, remedy: str, details: tuple[str, ...] = ()) -> Finding:
    """Return the finding of a check that failed, with what to do."""
    return Finding(verdict=CheckStatus.WRONG, what=what, remedy=remedy, details=details)


def note(what: str) -> Finding:
    """Return a note that neither passes nor fails."""
    return Finding(verdict=CheckStatus.NOTE, what=what)


def skipped(what: str, because: str) -> Finding:
    """Return the finding of a check that was skipped."""
    return Finding(verdict=CheckStatus.SKIPPED, what=f"{what}: {because}")
