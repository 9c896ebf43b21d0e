"""The settings of a coordinator: directories, limits and the retry policy."""

from datetime import timedelta
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """
    Settings of a coordinator, read from the environment: `CLIMATE_REF_PREFECT_<NAME>`.

    The three roots may lie on three file systems; scratch and results must be seen by coordinator and workers alike.
    """

    model_config = SettingsConfigDict(
        env_prefix="CLIMATE_REF_PREFECT_", frozen=True, extra="forbid", use_attribute_docstrings=True
    )

    home: Path = Path(".climate-ref-prefect")
    """The state directory, and the root of what is not given below."""

    database_url: str | None = Field(default=None, repr=False)
    """`sqlite:///path` or `postgresql://user@host/name`; none for SQLite in the state directory."""

    scratch: Path | None = None
    """Where executions run; none for `scratch` in the state directory."""

    results: Path | None = None
    """Where results are published; none for `results` in the state directory."""

    sites: Path | None = None
    """Where site profiles lie; none for `sites` in the state directory."""

    vocabulary: Path | None = None
    """A controlled vocabulary in YAML; none for the one that comes with the package."""

    vocabulary_is_strict: bool = True
    """Whether a result outside the vocabulary fails; otherwise it is logged as an error and taken."""

    keep_scratch: Literal["all", "failed", "none"] = "failed"
    """Executions whose output and log stay on scratch after the end. The small JSON files of failures always stay."""

    keep_documents: bool = False
    """Whether the small JSON files of successes stay on scratch, too: the claim, the outcome with its manifest, ..."""

    max_attempts: int = Field(default=3, ge=1)
    """Attempts of one group on the same inputs, counted over all solves."""

    max_lost: int = Field(default=5, ge=0)
    """Attempts lost to nodes, preemption or workers; one more is given up. They do not count as attempts."""

    growth_factor: float = Field(default=2.0, gt=1, le=100)
    """Factor by which an exhausted resource grows for the next attempt."""

    max_memory_mb: int | None = Field(default=None, gt=0)
    """Largest memory that an attempt may grow to, in MiB; None for the limit of the transport."""

    max_wall_clock: timedelta | None = None
    """Longest time limit that an attempt may grow to; None for the limit of the transport."""

    retry_rules: Path | None = None
    """Retry rules in YAML; none for `retry.yaml` in the state directory, where it is there."""

    house_patience: timedelta = Field(default=timedelta(minutes=30), ge=timedelta(0))
    """How long a full, read-only or missing directory or database is waited for before a solve ends."""

    server_lifetime: timedelta | None = Field(default=None, ge=timedelta(0))
    """How long the Prefect server stays unused; None for 5 minutes in a terminal or notebook, else 0 s."""

    publish_threads: int = Field(default=2, ge=1)
    """Results copied at once: one large copy must not hold up the others."""

    @property
    def home_directory(self) -> Path:
        """The state directory, absolute."""
        return self.home.expanduser().absolute()

    @property
    def scratch_directory(self) -> Path:
        """Where executions run, absolute."""
        return (self.scratch or self.home_directory / "scratch").expanduser().absolute()

    @property
    def results_directory(self) -> Path:
        """Where results are published, absolute."""
        return (self.results or self.home_directory / "results").expanduser().absolute()

    @property
    def sites_directory(self) -> Path:
        """Where site profiles lie, absolute."""
        return (self.sites or self.home_directory / "sites").expanduser().absolute()

    @property
    def retry_rules_path(self) -> Path | None:
        """Where the retry rules lie, absolute; none where there are none."""
        if self.retry_rules is not None:
            return self.retry_rules.expanduser().absolute()
        usual = self.home_directory / "retry.yaml"
        return usual if usual.exists() else None

    @property
    def store_url(self) -> str:
        """The database's URL; it may hold a password."""
        # Quoted, since `?` and `%` mean something in a URL.
        return self.database_url or f"sqlite:///{quote(str(self.home_directory / 'climate-ref-prefect.db'))}"
