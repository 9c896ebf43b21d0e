"""The values that planning and reports read from the store."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from pydantic import JsonValue

from climate_ref_prefect.diagnostics.base_models import FrozenModel
from climate_ref_prefect.diagnostics.execution_result import Series
from climate_ref_prefect.diagnostics.output_bundle import OutputFile, OutputType
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.failure_kinds import FAILURE_RULES, FailureKind, Limit
from climate_ref_prefect.store.port import AttemptCounts, ExecutionStatus, Finalisation

LOST_KINDS: Final = frozenset(kind for kind, rule in FAILURE_RULES.items() if rule.limit is Limit.LOST)
"""Failure kinds of attempts that were lost with their worker or node."""


class GroupHistory(FrozenModel):
    """The attempts at a group on the same inputs, in all solves."""

    dirty: bool = True
    """Whether the group must be run. A new group must be."""

    attempts: int = 0
    """Number of attempts that have been finalised, whatever their result."""

    counted_attempts: int = 0
    lost_attempts: int = 0
    """Attempts that do not count because their worker or node was lost, not because a user interrupted them."""

    succeeded: bool = False
    """Whether any attempt succeeded."""

    last_failure: FailureKind | None = None
    """How the latest failed attempt failed."""

    last_retryable: bool | None = None
    """Whether another attempt may succeed, by the latest one; None while that is unfinished, or without any."""

    last_asked: ResourceHint | None = None
    """What the latest attempt asked for."""

    last_execution_id: int | None = None

    @property
    def counts(self) -> AttemptCounts:
        """How often it has been tried."""
        return AttemptCounts(attempts=self.attempts, counted=self.counted_attempts, lost=self.lost_attempts)


class ExecutionRow(FrozenModel):
    """One attempt, for reports and the command."""

    execution_id: int
    provider: str
    diagnostic: str
    key: str
    attempt: int
    status: ExecutionStatus
    transport: str | None
    asked: ResourceHint
    successful: bool | None
    """None while unfinished."""

    retryable: bool | None
    failure_kind: FailureKind | None
    failure_message: str | None
    duration_seconds: float | None
    peak_rss_mb: float | None
    telemetry_meta: Mapping[str, JsonValue] | None
    fragment: str
    created_at: datetime
    finished_at: datetime | None
    results_path: str | None

    @property
    def label(self) -> str:
        """Name for people: provider, diagnostic and key."""
        return f"{self.provider}/{self.diagnostic}/{self.key}"

    @property
    def outcome(self) -> str:
        """How it ended, in a word: its status while it is unfinished, `success`, or the kind of its failure."""
        if self.successful is None:
            return self.status
        return "success" if self.successful else str(self.failure_kind)


class Reingestion(FrozenModel):
    """The result of ingesting the results of a finished execution again."""

    added: int = 0
    """Values and files that had not been recorded."""

    mended: bool = False
    """Whether it had failed, and is a success now."""

    moved: bool = False
    """Whether the results had been recorded to lie elsewhere, or nowhere."""

    differing: tuple[str, ...] = ()
    """Differences between the recorded values and the results. If there are any, nothing was recorded."""


class StatusCounts(FrozenModel):
    """Numbers of executions by result, and of groups."""

    unfinished: int
    successful: int
    failed_retryable: int
    failed_for_good: int
    groups: int
    dirty_groups: int


class OutputRow(OutputFile):
    """A file of an execution."""

    execution_id: int
    output_type: OutputType
    short_name: str


class ScalarRow(FrozenModel):
    """A number of an execution."""

    execution_id: int
    dimensions: Mapping[str, str]
    value: float | None
    """None for a missing value."""


class SeriesRow(Series):
    """A series of an execution."""

    execution_id: int


def final_values(finalisation: Finalisation) -> dict[str, Any]:
    """Return what is recorded of an attempt at its end, by the names that `ExecutionRow` has for it."""
    failure, telemetry = finalisation.failure, finalisation.telemetry
    return {
        "successful": finalisation.successful,
        "retryable": finalisation.retryable,
        "failure_kind": failure and failure.kind,
        "failure_message": failure and failure.message,
        "duration_seconds": telemetry.duration_seconds,
        "peak_rss_mb": telemetry.peak_rss_mb,
        "telemetry_meta": {
            **telemetry.transport_meta,
            "cpu_seconds": telemetry.cpu_seconds,
            "host": telemetry.host,
            "exit_code": telemetry.exit_code,
            "memory_source": telemetry.memory_source,
        },
        "results_path": finalisation.results_path,
    }
