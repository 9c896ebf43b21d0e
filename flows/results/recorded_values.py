"""Values of the latest success of each group, as the store has them, chosen by names and facets."""

from collections.abc import Collection, Iterator, Mapping, Sequence

from climate_ref_prefect.diagnostics.base_models import FrozenModel
from climate_ref_prefect.diagnostics.errors import BadInputError, UnknownNameError
from climate_ref_prefect.store.query_results import ExecutionRow
from climate_ref_prefect.store.reading_port import ExecutionReader


class RecordedValue(FrozenModel):
    """A number that an execution has computed."""

    provider: str
    diagnostic: str
    key: str
    execution_id: int
    dimensions: Mapping[str, str]
    """What it is a value of, for example the model and the statistic."""

    value: float | None
    """None for a missing value."""


def latest_attempts(
    reader: ExecutionReader, *, diagnostics: Collection[str] | None = None, successes_only: bool = False
) -> tuple[ExecutionRow, ...]:
    """
    Return the latest attempt at each group, in the order of their names.

    Parameters
    ----------
    reader
        What is recorded.
    diagnostics
        Slugs, or `provider/diagnostic`; none for all.
    successes_only
        The latest success of each group instead.

    Raises
    ------
    UnknownNameError
        If nothing is recorded of one of the diagnostics.
    """
    latest: dict[str, ExecutionRow] = {}
    known: set[str] = set()
    for row in reader.executions():
        names = {row.diagnostic, f"{row.provider}/{row.diagnostic}"}
        known |= names
        if (row.successful or not successes_only) and (diagnostics is None or names & set(diagnostics)):
            latest.setdefault(row.label, row)
    for name in diagnostics or ():
        if name not in known:
            raise UnknownNameError("recorded diagnostic", name, known)
    return tuple(latest[label] for label in sorted(latest))


def chosen_values(
    reader: ExecutionReader, diagnostics: Collection[str] | None, where: Sequence[str]
) -> tuple[RecordedValue, ...]:
    """
    Return the numbers of the latest success of each group.

    Parameters
    ----------
    reader
        What is recorded.
    diagnostics
        Slugs, or `provider/diagnostic`; none for all.
    where
        Texts as `source_id=CanESM5`: only numbers with such dimensions. Values of one facet are alternatives.

    Raises
    ------
    BadInputError
        If a text is of another form, or there is no such diagnostic or facet.
    """
    facets = _facets(where)
    values = list(_values(reader, latest_attempts(reader, diagnostics=diagnostics, successes_only=True)))
    known = {name for value in values for name in value.dimensions}
    for name in facets:
        if name not in known:
            raise UnknownNameError("facet of these values", name, known)
    return tuple(
        value for value in values if all(value.dimensions.get(name) in allowed for name, allowed in facets.items())
    )


def _values(reader: ExecutionReader, executions: Sequence[ExecutionRow]) -> Iterator[RecordedValue]:
    by_id = {row.execution_id: row for row in executions}
    for scalar in reader.scalars(list(by_id)):
        row = by_id[scalar.execution_id]
        yield RecordedValue(
            provider=row.provider,
            diagnostic=row.diagnostic,
            key=row.key,
            execution_id=row.execution_id,
            dimensions=scalar.dimensions,
            value=scalar.value,
        )


def _facets(texts: Sequence[str]) -> Mapping[str, set[str]]:
    facets: dict[str, set[str]] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if not (name and value):
            raise BadInputError(f"{text!r} is not of the form facet=value, for example source_id=CanESM5.")
        facets.setdefault(name, set()).add(value)
    return facets
