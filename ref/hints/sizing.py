"""Size REF's executions: collect what is known of one, and ask `hint_for`."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from climate_ref_prefect.diagnostics.declaration_errors import describe_validation_error
from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.ref.hints.hint_for import hint_for, shipped_defaults
from climate_ref_prefect.ref.hints.hint_models import DeclaredHint, HintRequest, MeasuredHistory, SizedHint
from climate_ref_prefect.ref.hints.hint_table import HintTable, read_hint_table

TABLE_FILE: Final = "hints.yaml"
ATTRIBUTE: Final = "resource_hint"
"""Attribute of a diagnostic that says what it needs: a mapping with the fields of `DeclaredHint`."""


class Sizing:
    """
    Sizes executions of one solve.

    Parameters
    ----------
    table
        The operator's table of hints.
    histories
        By full slug of the diagnostic: what REF has measured.
    """

    def __init__(self, table: HintTable, histories: Mapping[str, MeasuredHistory]) -> None:
        self._table = table
        self._histories = histories
        self._declared: dict[str, DeclaredHint | None] = {}
        self._asks_input_size: dict[str, bool] = {}

    def of(self, ref_definition: Any) -> SizedHint:
        """
        Return the resources that an execution asks for, and who gave each number.

        Parameters
        ----------
        ref_definition
            REF's definition of the execution.

        Raises
        ------
        BadInputError
            If the attribute of the diagnostic is invalid.
        """
        slug = ref_definition.diagnostic_full_slug
        if slug not in self._declared:
            self._declared[slug] = declared_hint(ref_definition.diagnostic, slug)
        request = HintRequest(
            full_slug=slug,
            dataset_count=_dataset_count(ref_definition),
            input_bytes=_input_bytes(ref_definition) if self._needs_input_size(slug) else 0,
            declared=self._declared[slug],
            history=self._histories.get(slug),
        )
        return hint_for(request, self._table)

    def _needs_input_size(self, slug: str) -> bool:
        # Asking thousands of files for their size takes long on a shared file system.
        if slug not in self._asks_input_size:
            found = (table.first_match(slug) for table in (self._table, shipped_defaults()))
            self._asks_input_size[slug] = any(match and match.rule.asks_input_size for match in found)
        return self._asks_input_size[slug]


def hint_table(path: Path | None, home_directory: Path) -> HintTable:
    """
    Return the operator's table: a file that is named, or the usual one in the state directory where it is there.

    Raises
    ------
    BadInputError
        If the file cannot be read or is invalid.
    """
    usual = home_directory / TABLE_FILE
    if path is None and not usual.exists():
        return HintTable(origin=TABLE_FILE)
    return read_hint_table(path.expanduser() if path else usual)


def declared_hint(diagnostic: object, full_slug: str) -> DeclaredHint | None:
    """
    Return what a diagnostic declares by its attribute `resource_hint`; None if it has none.

    Raises
    ------
    BadInputError
        If the attribute is invalid. The message says which fields it may have.
    """
    said = getattr(diagnostic, ATTRIBUTE, None)
    if said is None:
        return None
    try:
        return DeclaredHint.model_validate(said)
    except ValidationError as error:
        raise BadInputError(
            f"The attribute `{ATTRIBUTE}` of {full_slug} is wrong: {describe_validation_error(error)}. "
            f"It may have: {', '.join(DeclaredHint.model_fields)}."
        ) from error


def _dataset_count(ref_definition: Any) -> int:
    collections = ref_definition.datasets.values()
    return sum(int(each.datasets[each.slug_column].nunique()) for each in collections)


def _input_bytes(ref_definition: Any) -> int:
    return sum(_size_of(path) for each in ref_definition.datasets.values() for path in each.datasets["path"])


def _size_of(path: str) -> int:
    with suppress(OSError):  # Whether it can be read is for the diagnostic to say.
        return Path(path).stat().st_size
    return 0
