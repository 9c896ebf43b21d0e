"""The tables; `migrations/` makes them, a test holds both to be the same."""

from datetime import datetime
from typing import Annotated

from sqlalchemy import CheckConstraint, ForeignKey, Index, MetaData, Table, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from climate_ref_prefect.store.sql.column_types import BIG_ID, COLUMN_TYPES, JsonList, JsonObject

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
"""Every constraint has a name that is the same everywhere, so that a migration can alter it."""

Id = Annotated[int, mapped_column(primary_key=True)]
BigId = Annotated[int, mapped_column(BIG_ID, primary_key=True)]
ExecutionId = Annotated[int, mapped_column(ForeignKey("execution.id"))]


class Base(DeclarativeBase):
    """Base of all tables."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map = COLUMN_TYPES

    @classmethod
    def table(cls) -> Table:
        """Return the table, for Core statements: on the hot path they cost a fraction of the ORM."""
        return cls.metadata.tables[cls.__tablename__]


class Lease(Base):
    """The one row with the identity of the store and the lease of its coordinator."""

    __tablename__ = "lease"
    __table_args__ = (CheckConstraint("id = 1", name="single_row"),)

    id: Mapped[Id]
    store_id: Mapped[str]
    """Identity made with the database and never changed, which results directories name as their owner."""

    epoch: Mapped[int]
    """Number of coordinators so far. Each write of a coordinator checks that this is still its own number."""

    holder: Mapped[str | None]
    """The latest coordinator, for people; null before the first."""

    taken_at: Mapped[datetime | None]


class Provider(Base):
    """A provider that has had an execution."""

    __tablename__ = "provider"

    id: Mapped[Id]
    slug: Mapped[str] = mapped_column(unique=True)


class Diagnostic(Base):
    """A diagnostic of a provider."""

    __tablename__ = "diagnostic"
    __table_args__ = (UniqueConstraint("provider_id", "slug"),)

    id: Mapped[Id]
    provider_id: Mapped[int] = mapped_column(ForeignKey("provider.id"))
    slug: Mapped[str]


class ExecutionGroup(Base):
    """The data that a diagnostic is run on together, whatever the version of the data."""

    __tablename__ = "execution_group"
    __table_args__ = (UniqueConstraint("diagnostic_id", "key"),)

    id: Mapped[Id]
    diagnostic_id: Mapped[int] = mapped_column(ForeignKey("diagnostic.id"))
    key: Mapped[str]
    """Name within the diagnostic."""

    selectors: Mapped[JsonObject]
    """Facets that all data sets of the group share."""

    dirty: Mapped[bool]
    """Whether it must be run: set when an execution is allocated, cleared by success and by giving up."""


class Execution(Base):
    """One attempt at one group."""

    __tablename__ = "execution"
    __table_args__ = (
        CheckConstraint("status IN ('allocated', 'dispatched', 'finished')", name="status"),
        Index(None, "group_id", "input_hash"),
    )

    id: Mapped[Id]
    group_id: Mapped[int] = mapped_column(ForeignKey("execution_group.id"))
    fragment: Mapped[str] = mapped_column(unique=True)
    """Its directory below scratch and results."""

    input_hash: Mapped[str]
    """Same for the same inputs and versions: attempts are counted by it."""

    provider_version: Mapped[str]
    diagnostic_version: Mapped[str]
    attempt: Mapped[int]
    """Counts from 1."""

    replaces_id: Mapped[int | None] = mapped_column(ForeignKey("execution.id"))
    """The attempt that this one follows."""

    status: Mapped[str] = mapped_column(index=True)
    """One of `ExecutionStatus`."""

    transport: Mapped[str | None]
    """Name of the transport that it was handed to."""

    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]

    asked_memory_mb: Mapped[int]
    """Memory that was asked for, in MiB."""

    asked_cpu: Mapped[int]
    asked_wall_clock_seconds: Mapped[float]
    asked_queue: Mapped[str | None]

    successful: Mapped[bool | None]
    """Null while unfinished, as the next two."""

    retryable: Mapped[bool | None]
    """Whether another attempt may succeed."""

    counted: Mapped[bool | None]
    """Whether it counts as an attempt: what a site preempts does not."""

    failure_kind: Mapped[str | None]
    """One of `FailureKind`; no constraint, so that a new kind needs no migration."""

    failure_message: Mapped[str | None]
    duration_seconds: Mapped[float | None]
    peak_rss_mb: Mapped[float | None]
    """Largest memory of the process tree, in MiB."""

    telemetry_meta: Mapped[JsonObject | None]
    """Processor time, host, exit code, and what the transport adds."""

    results_path: Mapped[str | None]
    """Where the results were published."""


class Dataset(Base):
    """A data set in one state of its files."""

    __tablename__ = "dataset"
    __table_args__ = (UniqueConstraint("instance_id", "fingerprint"),)

    id: Mapped[Id]
    instance_id: Mapped[str]
    fingerprint: Mapped[str]
    """Changes when any of its files changes."""

    facets: Mapped[JsonObject]
    files: Mapped[JsonList]
    """Absolute paths, in order of time."""


class ExecutionDataset(Base):
    """Which data sets an execution reads."""

    __tablename__ = "execution_dataset"

    execution_id: Mapped[int] = mapped_column(ForeignKey("execution.id"), primary_key=True)
    dataset_id: Mapped[int] = mapped_column(ForeignKey("dataset.id"), primary_key=True)


class ExecutionOutput(Base):
    """A file that an execution left for people or programs."""

    __tablename__ = "execution_output"
    __table_args__ = (UniqueConstraint("execution_id", "output_type", "short_name"),)

    id: Mapped[BigId]
    execution_id: Mapped[ExecutionId]
    output_type: Mapped[str]
    """`data`, `plots`, `html` or `metrics`."""

    short_name: Mapped[str]
    filename: Mapped[str]
    """Relative to the output directory."""

    long_name: Mapped[str]
    description: Mapped[str]
    dimensions: Mapped[JsonObject]


class ScalarValue(Base):
    """A number that an execution computed."""

    __tablename__ = "scalar_value"
    __table_args__ = (UniqueConstraint("execution_id", "dimensions_hash"),)

    id: Mapped[BigId]
    execution_id: Mapped[ExecutionId]
    dimensions_hash: Mapped[str]
    dimensions: Mapped[JsonObject]
    value: Mapped[float | None]
    """Null for a missing value."""


class SeriesValue(Base):
    """Numbers along one index that an execution computed."""

    __tablename__ = "series_value"
    __table_args__ = (UniqueConstraint("execution_id", "dimensions_hash", "index_name"),)

    id: Mapped[BigId]
    execution_id: Mapped[ExecutionId]
    dimensions_hash: Mapped[str]
    index_name: Mapped[str]
    dimensions: Mapped[JsonObject]
    index: Mapped[JsonList]
    values: Mapped[JsonList]
    """One per index; null where there is none."""

    attributes: Mapped[JsonObject]
