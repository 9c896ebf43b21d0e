"""Where a coordinator works in these tests: state, scratch, results, data and notes, on either kind of database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from climate_ref_prefect.store.sql.database_location import sqlite_url
from climate_ref_prefect.store.sql.sql_store import Store, open_store
from tests.diagnostics.cmip6_trees import add
from tests.flows.run_log import NOTES
from tests.soak.provider import TARGET

_DATA_SET = "CMIP6/CMIP/Somebody/{model}/historical/r1i1p1f1/Amon/ta/gn/v20190429"


@dataclass(frozen=True)
class Place:
    """All that one campaign needs, below one directory unless the database is a server's."""

    root: Path
    models: tuple[str, ...]
    diagnostics: tuple[str, ...]
    url: str | None = None
    """Of the database; none for SQLite in the state directory."""

    @classmethod
    def make(cls, root: Path, models: int, diagnostics: Sequence[str], url: str | None = None) -> "Place":
        """Make the directories, and data of some models."""
        place = cls(root, tuple(f"Model{number}" for number in range(models)), tuple(diagnostics), url)
        for directory in (place.home, place.scratch, place.results, place.notes):
            directory.mkdir(parents=True, exist_ok=True)
        for model in place.models:
            add(place.data, _DATA_SET.format(model=model))
        return place

    @property
    def home(self) -> Path:
        """The state directory."""
        return self.root / "state"

    @property
    def scratch(self) -> Path:
        """Where executions run."""
        return self.root / "scratch"

    @property
    def results(self) -> Path:
        """Where results are published."""
        return self.root / "results"

    @property
    def data(self) -> Path:
        """The CMIP6 tree."""
        return self.root / "data"

    @property
    def notes(self) -> Path:
        """Where diagnostics note their lives."""
        return self.root / "notes"

    @property
    def log(self) -> Path:
        """What the coordinators print."""
        return self.root / "coordinator.log"

    @property
    def groups(self) -> list[tuple[str, str]]:
        """Every diagnostic and key that a campaign has to bring home."""
        return [(diagnostic, model) for diagnostic in self.diagnostics for model in self.models]

    @property
    def environment(self) -> Mapping[str, str]:
        """What a coordinator here must find in its environment."""
        settings = {"HOME": self.home, "SCRATCH": self.scratch, "RESULTS": self.results, "PUBLISH_THREADS": 1}
        settings |= {"KEEP_DOCUMENTS": True}  # for the invariants
        settings["DATABASE_URL"] = self.database_url
        prefixed = {f"CLIMATE_REF_PREFECT_{name}": str(value) for name, value in settings.items()}
        return {**prefixed, NOTES: str(self.notes)}

    @property
    def database_url(self) -> str:
        """Where everything is recorded."""
        return self.url or sqlite_url(self.home / "climate-ref-prefect.db")

    def solve(self, *options: str) -> list[str]:
        """Return the arguments of a solve."""
        names = [option for diagnostic in self.diagnostics for option in ("--diagnostic", diagnostic)]
        return ["solve", "--data", str(self.data), "--provider", TARGET, *names, *options]

    def store(self) -> Store:
        """Open what is recorded."""
        return open_store(self.database_url)
