"""The values of sizing: what is known of an execution, and the resources it is given with a reason for each number."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from pydantic import Field

from climate_ref_prefect.diagnostics.base_models import FrozenModel
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.transports.iso_duration import PositiveDuration

ENOUGH_EXECUTIONS: Final = 10
"""From so many measured executions on, REF itself calls its own recommendation good."""


class DeclaredHint(FrozenModel):
    """What the attribute `resource_hint` of a diagnostic says; what it leaves out is decided elsewhere."""

    memory_mb: int | None = Field(default=None, gt=0)
    """Memory of the whole process tree, in MiB."""

    cpu: int | None = Field(default=None, gt=0)
    """Processors."""

    wall_clock: PositiveDuration | None = None
    """Time limit, for example `PT2H`."""

    queue: str | None = None
    """A routing tag."""


class MeasuredHistory(FrozenModel):
    """What REF has measured of earlier executions of one diagnostic."""

    executions: int = Field(ge=0)
    """Executions whose memory and time are known."""

    failed: int = Field(default=0, ge=0)
    """Executions that failed. One that was killed for its memory left no measurement: the numbers are too low then."""

    peak_memory_mb: int = Field(ge=0)
    """95 % of the executions needed less memory than this, in MiB."""

    wall_seconds: float = Field(ge=0)
    """95 % of the executions took less time than this."""

    @property
    def is_reliable(self) -> bool:
        """Whether a hint may be lowered to what was measured: many executions, and none of them failed."""
        return self.executions >= ENOUGH_EXECUTIONS and not self.failed


class HintRequest(FrozenModel):
    """What is known of an execution before it is sized."""

    full_slug: str
    """Provider and diagnostic as REF writes them, for example `esmvaltool/enso-basic-climatology`."""

    dataset_count: int = Field(default=0, ge=0)
    """Data sets that the execution reads."""

    input_bytes: int = Field(default=0, ge=0)
    """Size of all files that it reads."""

    declared: DeclaredHint | None = None
    """What the diagnostic declares; None if it declares nothing."""

    history: MeasuredHistory | None = None
    """What REF has measured; None if it has measured nothing."""


class SizedHint(FrozenModel):
    """The resources that an execution asks for, and who said so."""

    resources: ResourceHint
    reasons: Mapping[str, str]
    """By field of `resources`: the rule that gave the number, for people."""


FALLBACK: Final = ResourceHint(memory_mb=4096, cpu=1, wall_clock=timedelta(hours=6))
"""What an execution asks for if nobody says anything."""
