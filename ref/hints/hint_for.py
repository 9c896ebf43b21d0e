"""Size an execution: ask those who may know what it needs in a fixed order, number by number."""

from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any, Final, NamedTuple

from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.ref.hints.hint_models import FALLBACK, HintRequest, MeasuredHistory, SizedHint
from climate_ref_prefect.ref.hints.hint_table import HintTable, NumberedRule, read_hint_table

DEFAULTS_FILE: Final = Path(__file__).with_name("defaults.yaml")
MEMORY_FACTOR: Final = 1.3
"""Memory asked for over memory measured: REF's own factor."""
WALL_CLOCK_FACTOR: Final = 3.0
"""Time asked for over time measured: a limit that is too short loses the whole run, one that is too long only waits."""
SHORTEST_MEASURED_WALL_CLOCK: Final = timedelta(minutes=15)
MEMORY_STEP_MB: Final = 256
WALL_CLOCK_STEP_SECONDS: Final = 300
_MIB_PER_GIB: Final = 1024
_BYTES_PER_GB: Final = 10**9
_NO_TABLE: Final = HintTable(origin="no table")


class _Answer(NamedTuple):
    """What somebody says about one field, and why."""

    value: Any
    reason: str


_Answers = dict[str, _Answer]


def hint_for(request: HintRequest, table: HintTable = _NO_TABLE) -> SizedHint:
    """
    Return the resources that an execution asks for, and who gave each number.

    Asked are, field by field and in this order: the operator's table, the diagnostic's attribute, what REF has
    measured, the defaults that come with this package, and `FALLBACK`. Measurements that are few, or of executions
    that failed as well, only raise what follows them.

    Parameters
    ----------
    request
        What is known of the execution.
    table
        The operator's table of hints.
    """
    later = {**_fallback(), **_of_table(request, shipped_defaults())}
    answers = {**later, **_of_history(request, later), **_declared(request), **_of_table(request, table)}
    resources = ResourceHint.model_validate({name: answer.value for name, answer in answers.items()})
    return SizedHint(resources=resources, reasons={name: answer.reason for name, answer in answers.items()})


@cache
def shipped_defaults() -> HintTable:
    """Return the defaults that come with this package."""
    return read_hint_table(DEFAULTS_FILE).model_copy(update={"origin": "defaults"})


def _fallback() -> _Answers:
    return {name: _Answer(value, "default of this package for everything") for name, value in FALLBACK}


def _declared(request: HintRequest) -> _Answers:
    said = request.declared.model_dump(exclude_none=True) if request.declared else {}
    return {name: _Answer(value, "attribute `resource_hint` of the diagnostic") for name, value in said.items()}


def _of_table(request: HintRequest, table: HintTable) -> _Answers:
    found = table.first_match(request.full_slug)
    return dict(_of_rule(request, table.origin, found)) if found else {}


def _of_rule(request: HintRequest, origin: str, found: NumberedRule) -> Iterator[tuple[str, _Answer]]:
    rule = found.rule
    basis = f", {rule.basis}" if rule.basis else ""
    name = f"{origin}, rule {found.number} `{rule.match}`{basis}"
    if rule.memory_mb is not None:
        more = _more(request, rule.memory_mb_per_dataset, rule.memory_mb_per_input_gb, MEMORY_STEP_MB)
        yield "memory_mb", _Answer(rule.memory_mb + more, name + _added(f"{more} MiB" if more else ""))
    if rule.wall_clock is not None:
        terms = (rule.wall_clock_per_dataset.total_seconds(), rule.wall_clock_per_input_gb.total_seconds())
        longer = timedelta(seconds=_more(request, *terms, WALL_CLOCK_STEP_SECONDS))
        yield "wall_clock", _Answer(rule.wall_clock + longer, name + _added(str(longer) if longer else ""))
    if rule.cpu is not None:
        yield "cpu", _Answer(rule.cpu, name)
    if rule.queue is not None:
        yield "queue", _Answer(rule.queue, name)


def _more(request: HintRequest, per_dataset: float, per_input_gb: float, step: int) -> int:
    """Return what the data add. It is rounded up, so that similar executions have one size and share jobs."""
    added = per_dataset * request.dataset_count + per_input_gb * request.input_bytes / _BYTES_PER_GB
    return ceil(added / step) * step


def _added(much: str) -> str:
    return f" ({much} of it for its data)" if much else ""


def _of_history(request: HintRequest, later: _Answers) -> _Answers:
    history = request.history
    if history is None or not history.executions:
        return {}
    measured = _measured(history)
    if history.is_reliable:
        return measured
    return {name: max(answer, later[name], key=lambda one: one.value) for name, answer in measured.items()}


def _measured(history: MeasuredHistory) -> _Answers:
    failed = f", {history.failed} failed" if history.failed else ""
    name = f"measured by REF ({history.executions} executions{failed})"
    memory_mb = max(1, ceil(history.peak_memory_mb * MEMORY_FACTOR / _MIB_PER_GIB)) * _MIB_PER_GIB
    minutes = ceil(history.wall_seconds * WALL_CLOCK_FACTOR / 60)
    wall_clock = max(timedelta(minutes=minutes), SHORTEST_MEASURED_WALL_CLOCK)
    return {
        "memory_mb": _Answer(memory_mb, f"{name}: {history.peak_memory_mb} MiB x {MEMORY_FACTOR:g}"),
        "wall_clock": _Answer(wall_clock, f"{name}: {history.wall_seconds:.0f} s x {WALL_CLOCK_FACTOR:g}"),
    }
