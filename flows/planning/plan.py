"""The plan of a solve: what it would run, as a value with tables for people."""

from collections.abc import Collection, Iterator
from typing import ClassVar

from pydantic import Field

from climate_ref_prefect.diagnostics.base_models import FrozenModel
from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition, ProviderReference
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.flows.display.tables import TabularReport
from climate_ref_prefect.flows.display.text_escaping import LONGEST_MESSAGE, one_line
from climate_ref_prefect.flows.planning.clipped_resources import clipping_remark
from climate_ref_prefect.flows.planning.load_providers import BrokenProvider
from climate_ref_prefect.flows.retry.retry_policy import DEFAULT_RULE
from climate_ref_prefect.store.port import AttemptCounts


class PlannedExecution(FrozenModel):
    """One attempt that the solve would run."""

    definition: ExecutionDefinition
    provider: ProviderReference
    resources: ResourceHint
    """The resources that it asks for."""

    granted: ResourceHint = Field(default_factory=lambda known: known["resources"])
    """What the transport gives it; what it asks for if left out, until the transport is asked at its dispatch."""

    counts: AttemptCounts = AttemptCounts()
    replaces: int | None = None
    """The earlier execution that this attempt replaces."""

    previous_failure: FailureKind | None = None
    """How the attempt before this one failed, where that is why there is another."""

    retry_rule: str = DEFAULT_RULE
    """The retry rule that applies after a failure; `default` for the settings."""


class Plan(TabularReport):
    """What a solve would do."""

    columns: ClassVar = ("diagnostic", "executions", "cpu", "memory MiB", "wall clock", "queue", "retry rule")

    executions: tuple[PlannedExecution, ...] = ()
    up_to_date: int = 0
    """Groups that have succeeded on the same inputs and versions."""

    given_up: int = 0
    """Groups that were given up on the same inputs. `rerun="failed"` runs them."""

    broken: tuple[BrokenProvider, ...] = ()
    """Providers, diagnostics and groups for which nothing can be planned."""

    transport: str

    def without(self, labels: Collection[str]) -> "Plan":
        """Return the plan without the executions of some groups, by their labels."""
        left = tuple(item for item in self.executions if item.definition.label not in labels)
        return self.model_copy(update={"executions": left})

    @property
    def cpu_hours(self) -> float:
        """Upper limit of the CPU time of all executions: processors times wall clock limit."""
        return sum(item.granted.cpu * item.granted.wall_clock_seconds for item in self.executions) / 3600

    @property
    def largest_memory_mb(self) -> int:
        """Memory of the largest execution, in MiB."""
        return max((item.granted.memory_mb for item in self.executions), default=0)

    def headline(self) -> str:
        """Return the plan in one sentence."""
        return (
            f"{len(self.executions)} executions on {self.transport}, at most {self.cpu_hours:.1f} CPU hours, "
            f"the largest with {self.largest_memory_mb} MiB; "
            f"{self.up_to_date} groups are up to date, {self.given_up} given up."
        )

    def cells(self) -> Iterator[tuple[str, ...]]:
        """Yield a row per diagnostic and size."""
        by_size: dict[tuple[str, ResourceHint], list[PlannedExecution]] = {}
        for item in self.executions:
            name = f"{item.definition.provider}/{item.definition.diagnostic}"
            by_size.setdefault((name, item.granted), []).append(item)
        for (name, granted), items in by_size.items():
            size = (str(granted.cpu), str(granted.memory_mb), str(granted.wall_clock), granted.queue or "")
            yield (name, str(len(items)), *size, items[0].retry_rule)

    def remarks(self) -> Iterator[str]:
        """Yield who is given less than it asks for, and who cannot be run, and why."""
        yield from self.clipped()
        for provider in self.broken:
            yield f"{provider.name} cannot be run: {one_line(provider.failure.message, LONGEST_MESSAGE)}"

    def clipped(self) -> Iterator[str]:
        """Yield a sentence for each diagnostic and size that the transport clips."""
        remarks = (
            clipping_remark(
                f"{item.definition.provider}/{item.definition.diagnostic}", item.resources, item.granted, self.transport
            )
            for item in self.executions
        )
        yield from filter(None, dict.fromkeys(remarks))
