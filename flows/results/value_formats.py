"""Values as a table for people, and as CSV or JSON for other programs."""

import csv
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal, TextIO, TypeAlias

from rich.table import Table

from climate_ref_prefect.flows.display.tables import add_row, console_table
from climate_ref_prefect.flows.display.text_escaping import escape_control_characters
from climate_ref_prefect.flows.results.recorded_values import RecordedValue

ValueFormat: TypeAlias = Literal["table", "csv", "json"]
_MOST_ROWS: Final = 1000
_NAMES: Final = ("provider", "diagnostic", "key", "execution_id")


def values_table(values: Sequence[RecordedValue]) -> Table:
    """Return a table with a row for each value and a column for each dimension; of very many values, the first."""
    dimensions = _dimensions(values)
    table = console_table("diagnostic", *dimensions, "value", "execution")
    if len(values) > _MOST_ROWS:
        table.caption = f"The first {_MOST_ROWS} of {len(values)} values; --format csv has all."
    for value in values[:_MOST_ROWS]:
        cells = (value.dimensions.get(name, "") for name in dimensions)
        number = "" if value.value is None else f"{value.value:.6g}"
        add_row(table, (f"{value.provider}/{value.diagnostic}", *cells, number, str(value.execution_id)))
    return table


def write_csv(values: Sequence[RecordedValue], file: TextIO) -> None:
    """
    Write CSV (RFC 4180) with a column for each dimension; a missing value is an empty field.

    A dimension with the name of another column is `dimension.` and its name. On a terminal control characters are
    escaped.
    """
    dimensions = _dimensions(values)
    shown: Callable[[str], str] = escape_control_characters if file.isatty() else str
    writer = csv.writer(file)
    writer.writerow([*_NAMES, *(shown(_column(name)) for name in dimensions), "value"])
    for value in values:
        named = [value.provider, value.diagnostic, shown(value.key), value.execution_id]
        writer.writerow([*named, *(shown(value.dimensions.get(name, "")) for name in dimensions), value.value])


def write_json(values: Iterable[RecordedValue], file: TextIO) -> None:
    """Write a JSON list of objects; a missing value is null."""
    json.dump([value.model_dump(mode="json") for value in values], file, indent=1, allow_nan=False)
    file.write("\n")


def _column(dimension: str) -> str:
    return f"dimension.{dimension}" if dimension in {*_NAMES, "value"} else dimension


def _dimensions(values: Iterable[RecordedValue]) -> list[str]:
    return list(dict.fromkeys(name for value in values for name in value.dimensions))
