"""The one table of failure kinds: why executions fail, what each kind means, and what follows from it."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, Literal

from climate_ref_prefect.diagnostics.base_models import FrozenModel

Resource = Literal["memory", "wall clock"]
PrefectState = Literal["Failed", "Crashed", "Cancelled"]


class FailureKind(StrEnum):
    """Why an execution failed. `FAILURE_RULES` says what each kind means, and what follows from it."""

    DIAGNOSTIC_ERROR = "diagnostic_error"
    INVALID_RESULT = "invalid_result"
    VOCABULARY_MISMATCH = "vocabulary_mismatch"
    PROVIDER_IMPORT = "provider_import"
    SCHEMA_MISMATCH = "schema_mismatch"
    SUBMISSION_REFUSED = "submission_refused"
    UNAVAILABLE = "unavailable"
    SYSTEM_ERROR = "system_error"
    CRASHED = "crashed"
    KILLED = "killed"
    OUT_OF_MEMORY = "out_of_memory"
    TIMEOUT = "timeout"
    WORKER_LOST = "worker_lost"
    ALREADY_CLAIMED = "already_claimed"
    SCRATCH_FULL = "scratch_full"
    INPUT_CHANGED = "input_changed"
    PUBLISH_FAILED = "publish_failed"
    COORDINATOR_LOST = "coordinator_lost"
    CANCELLED = "cancelled"


class Fault(StrEnum):
    """Where the fault lies, which decides what follows."""

    DIAGNOSTIC = "the diagnostic"
    SIZE = "its size"
    UNKNOWN = "unknown"
    BACKEND = "the backend"
    REFUSED = "the backend, for good"
    INPUTS = "its inputs"
    """The inputs are not what was planned: only another plan helps."""
    INFRASTRUCTURE = "the infrastructure"
    """The coordinator, its directories or its database: nothing of it concerns the execution."""
    USER = "the user"


class Decision(StrEnum):
    """What happens to an execution group after an attempt."""

    SUCCESS = "success"
    RETRY = "retry"
    """Another attempt starts now."""
    RETRY_LATER = "retry later"
    """Another attempt may succeed, but not now: the next solve starts it."""
    GIVE_UP = "give up"

    @property
    def is_retry(self) -> bool:
        """Whether another attempt may succeed."""
        return self in (Decision.RETRY, Decision.RETRY_LATER)


class Limit(StrEnum):
    """Which setting bounds the attempts that fail by a kind, and so which attempts are counted together."""

    ATTEMPTS = "max_attempts"
    LOST = "max_lost"
    NONE = "none"
    """The failure says nothing about the execution, which is never given up for it."""


class FailureRule(FrozenModel):
    """What a kind of failure means, and what follows from it."""

    title: str
    """A few words for people."""

    meaning: str
    """What has happened, in a sentence for people."""

    next_step: str
    """What a person does next."""

    fault: Fault
    decision: Decision

    grows: Resource | None = None
    """What the next attempt gets more of."""

    limit: Limit = Limit.ATTEMPTS

    may_hide: tuple[FailureKind, ...] = ()
    """Kinds that may be the real cause: the worker looks for them before it reports this one."""

    may_still_run: bool = False
    """Whether the execution may still run elsewhere, so that its real outcome has to be waited for."""

    backend_knows_why: bool = False
    """Whether the worker knows only that it was asked to end, while the backend knows the reason."""

    holds_dispatch: bool = False
    """Whether nothing more is dispatched until scratch has room again."""

    has_results: bool = False
    """Whether it ran to its end, so that its results may be ingested again once the cause is mended."""

    @property
    def counts(self) -> bool:
        """Whether such an attempt counts towards the limit of attempts."""
        return self.limit is Limit.ATTEMPTS

    @property
    def is_lack_of_capacity(self) -> bool:
        """Whether the backend could not start it for now. It is never given up for that, only retried less often."""
        return self.fault is Fault.BACKEND and self.limit is Limit.NONE

    @property
    def prefect_state(self) -> PrefectState:
        """The state that the task `run` of such an execution ends in."""
        if self.fault is Fault.USER:
            return "Cancelled"
        return "Crashed" if self.fault in (Fault.BACKEND, Fault.INFRASTRUCTURE) else "Failed"

    @property
    def may_be_changed(self) -> bool:
        """Whether a retry rule may decide otherwise: it may not for what says nothing about the execution."""
        return self.fault in (Fault.DIAGNOSTIC, Fault.SIZE, Fault.UNKNOWN, Fault.BACKEND)


_INPUTS_OR_SCRATCH: Final = (FailureKind.INPUT_CHANGED, FailureKind.SCRATCH_FULL)

FAILURE_RULES: Final[Mapping[FailureKind, FailureRule]] = {
    FailureKind.DIAGNOSTIC_ERROR: FailureRule(
        title="error of the diagnostic",
        meaning="The diagnostic raised an error, or a program that it starts is missing.",
        next_step="Read the log. Install the program that it names on the worker's PATH, or mend the diagnostic and "
        "raise its version, or mend the data; both run it again.",
        fault=Fault.DIAGNOSTIC,
        decision=Decision.GIVE_UP,
        may_hide=_INPUTS_OR_SCRATCH,
    ),
    FailureKind.INVALID_RESULT: FailureRule(
        title="invalid result",
        meaning="The diagnostic returned something that is no result, or that can never be published or recorded.",
        next_step="Mend the diagnostic: the message names the field or the file that is wrong. Then reingest or solve.",
        fault=Fault.DIAGNOSTIC,
        decision=Decision.GIVE_UP,
        may_hide=_INPUTS_OR_SCRATCH,
        has_results=True,
    ),
    FailureKind.VOCABULARY_MISMATCH: FailureRule(
        title="not in the vocabulary",
        meaning="The result names something outside the controlled vocabulary.",
        next_step="Use a listed name, or add it to your vocabulary and reingest; the message lists what is valid.",
        fault=Fault.DIAGNOSTIC,
        decision=Decision.GIVE_UP,
        has_results=True,
    ),
    FailureKind.PROVIDER_IMPORT: FailureRule(
        title="provider not imported",
        meaning="The provider raised an error, hung or crashed while it was imported.",
        next_step='Import the provider by hand: `python -c "import my_module"`. For `module:attribute` the module must '
        "be on PYTHONPATH.",
        fault=Fault.DIAGNOSTIC,
        decision=Decision.GIVE_UP,
        may_hide=_INPUTS_OR_SCRATCH,
    ),
    FailureKind.SCHEMA_MISMATCH: FailureRule(
        title="versions differ",
        meaning="Coordinator and worker use different versions of the file protocol.",
        next_step="Install the same version on both sides; the message names the two.",
        fault=Fault.INFRASTRUCTURE,
        decision=Decision.GIVE_UP,
    ),
    FailureKind.SUBMISSION_REFUSED: FailureRule(
        title="refused by the backend",
        meaning="The transport or its backend will never take it: no such size, queue or account.",
        next_step="The message is the backend's. Change the hint or the site profile, then `solve --rerun failed`.",
        fault=Fault.REFUSED,
        decision=Decision.GIVE_UP,
    ),
    FailureKind.UNAVAILABLE: FailureRule(
        title="unavailable for now",
        meaning="The backend could not start it for now: jobs do not start, or the scheduler does not answer.",
        next_step="The message and `climate-ref-prefect doctor` say why. When that has passed, `solve` again.",
        fault=Fault.BACKEND,
        decision=Decision.RETRY_LATER,
        limit=Limit.NONE,
    ),
    FailureKind.SYSTEM_ERROR: FailureRule(
        title="error of the node",
        meaning="The node or its disk failed: an OSError, an interrupt, no further thread.",
        next_step="It was tried again. Look at disk space, quotas and permissions.",
        fault=Fault.UNKNOWN,
        decision=Decision.RETRY,
        may_hide=_INPUTS_OR_SCRATCH,
    ),
    FailureKind.CRASHED: FailureRule(
        title="crashed",
        meaning="Its process ended without a result: a segmentation fault, `os._exit`, any signal but SIGKILL.",
        next_step='It was tried again. Where it comes from forking, declare `isolation="fresh"`.',
        fault=Fault.UNKNOWN,
        decision=Decision.RETRY,
        may_hide=_INPUTS_OR_SCRATCH,
    ),
    FailureKind.KILLED: FailureRule(
        title="killed",
        meaning="Its process was killed, and it is not known by whom: it had memory to spare.",
        next_step="It was tried again. Look into the machine's log, or on a cluster ask the scheduler about the job.",
        fault=Fault.UNKNOWN,
        decision=Decision.RETRY,
        may_hide=(FailureKind.INPUT_CHANGED, FailureKind.OUT_OF_MEMORY),
    ),
    FailureKind.OUT_OF_MEMORY: FailureRule(
        title="out of memory",
        meaning="It is known to have run out of memory.",
        next_step="It was given more. If that was not enough, raise the hint or CLIMATE_REF_PREFECT_MAX_MEMORY_MB.",
        fault=Fault.SIZE,
        decision=Decision.RETRY,
        grows="memory",
        may_hide=(FailureKind.INPUT_CHANGED,),
    ),
    FailureKind.TIMEOUT: FailureRule(
        title="out of time",
        meaning="It reached its `wall_clock`, or its job the job's own limit.",
        next_step="It was given longer. If that was not enough, raise the hint or CLIMATE_REF_PREFECT_MAX_WALL_CLOCK.",
        fault=Fault.SIZE,
        decision=Decision.RETRY,
        grows="wall clock",
        may_hide=(FailureKind.INPUT_CHANGED,),
    ),
    FailureKind.WORKER_LOST: FailureRule(
        title="worker lost",
        meaning="Its worker, job or node is gone: it was preempted, cancelled by the site, or left no outcome.",
        next_step="It was tried again, up to CLIMATE_REF_PREFECT_MAX_LOST times. On a cluster the message has the job "
        "and the scheduler's words. When the cause is mended, `solve --rerun failed`.",
        fault=Fault.BACKEND,
        decision=Decision.RETRY,
        limit=Limit.LOST,
        backend_knows_why=True,
    ),
    FailureKind.ALREADY_CLAIMED: FailureRule(
        title="claimed by another worker",
        meaning="This delivery was a second one: another worker had claimed the execution, and no outcome came.",
        next_step="Nothing: this delivery ran nothing, and the execution was tried again.",
        fault=Fault.BACKEND,
        decision=Decision.RETRY,
        limit=Limit.LOST,
        may_still_run=True,
    ),
    FailureKind.SCRATCH_FULL: FailureRule(
        title="scratch full",
        meaning="Scratch had no room, inodes or quota left, or could not be written; its own output did not fill it.",
        next_step="It was tried again, and nothing counts against it. Make room on scratch (`df -h`, `df -i`, your "
        "quota), or mount it again if it is gone or read-only.",
        fault=Fault.INFRASTRUCTURE,
        decision=Decision.RETRY,
        limit=Limit.NONE,
        holds_dispatch=True,
    ),
    FailureKind.INPUT_CHANGED: FailureRule(
        title="input changed",
        meaning="A data file was not, or did not stay, what it was when the execution was planned.",
        next_step="When your data are complete, `solve` plans the execution anew.",
        fault=Fault.INPUTS,
        decision=Decision.RETRY_LATER,
        limit=Limit.NONE,
    ),
    FailureKind.PUBLISH_FAILED: FailureRule(
        title="not published",
        meaning="It ran, and its output could not be read from scratch or is gone from there.",
        next_step="Look at scratch, then `solve`, which runs it again (a few times).",
        fault=Fault.UNKNOWN,
        decision=Decision.RETRY_LATER,
        has_results=True,
    ),
    FailureKind.COORDINATOR_LOST: FailureRule(
        title="coordinator ended",
        meaning="The coordinator ended before the execution did.",
        next_step="`solve` runs it again.",
        fault=Fault.INFRASTRUCTURE,
        decision=Decision.RETRY_LATER,
        limit=Limit.NONE,
        backend_knows_why=True,
    ),
    FailureKind.CANCELLED: FailureRule(
        title="cancelled",
        meaning="The user stopped it.",
        next_step="`solve` runs it again.",
        fault=Fault.USER,
        decision=Decision.RETRY_LATER,
        limit=Limit.NONE,
    ),
}
"""What each kind of failure means and leads to; docs/explanation/failures.md says why."""
