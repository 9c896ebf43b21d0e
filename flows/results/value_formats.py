"""Values as a table for people, and as CSV or JSON for other programs."""

import csv
import json
from collections.abc import Iterable, Sequence
from typing import Final, Literal, TextIO, TypeAlias

from rich.table import Table

from climate_ref_prefect.flows.display.tables import add_row, console_table
from climate_ref_prefect.flows.results.recorded_values import RecordedValue

ValueFormat: TypeAlias = Literal["table", "csv", "json"]
_NAMES: Final = ("provider", "diagnostic", "key", "execution_id")


def values_table(values: Sequence[RecordedValue]) -> Table:
    """Return a table with a row for each value and a column for each dimension."""
    dimensions = _dimensions(values)
    table = console_table("diagnostic", *dimensions, "value", "execution")
    for value in values:
        cells = (value.dimensions.get(name, "") for name in dimensions)
        number = "" if value.value is None else f"{value.value:.6g}"
        add_row(table, (f"{value.provider}/{value.diagnostic}", *cells, number, str(value.execution_id)))
    return table


def write_csv(values: Sequence[RecordedValue], file: TextIO) -> None:
    """Write CSV (RFC 4180) with a column for each dimension; a missing value is an empty field."""
    dimensions = _dimensions(values)
    writer = csv.writer(file)
    writer.writerow([*_NAMES, *dimensions, "value"])
    for value in values:
        cells = [value.dimensions.get(name, "") for name in dimensions]
        writer.writerow([*(getattr(value, name) for name in _NAMES), *cells, value.value])


def write_json(values: Iterable[RecordedValue], file: TextIO) -> None:
    """Write a JSON list of objects; a missing value is null."""
    json.dump([value.model_dump(mode="json") for value in values], file, indent=1, allow_nan=False)
    file.write("\n")


def _dimensions(values: Iterable[RecordedValue]) -> list[str]:
    return list(dict.fromkeys(name for value in values for name in value.dimensions))
