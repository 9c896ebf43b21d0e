"""The base models of all values that cross a boundary: immutable values, and JSON documents with a version."""

import json
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict

from climate_ref_prefect.diagnostics.errors import SchemaMismatchError

SCHEMA_VERSION = 1
"""Version of the files that coordinator and worker exchange."""


def _require_characters(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("it holds half of a character (a lone surrogate), which no file or database keeps") from error
    return text


Text = Annotated[str, AfterValidator(_require_characters)]
"""Text that can be encoded as UTF-8. A Python string may hold lone surrogates, for example from a file name."""


class FrozenModel(BaseModel):
    """An immutable value that refuses unknown fields, infinities and NaN."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        ser_json_timedelta="iso8601",
    )


class Document(FrozenModel):
    """A value that is stored as a JSON file of its own and names its schema version."""

    schema_version: int = SCHEMA_VERSION
    """Version of the file protocol that wrote this document."""

    def to_json(self) -> str:
        """Return the document as JSON text, from which `from_json` makes the same document again."""
        return self.model_dump_json()

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """
        Read a document. Its `schema_version` is checked before anything else.

        Raises
        ------
        SchemaMismatchError
            If it was written in another version of the file protocol.
        pydantic.ValidationError
            If it is not such a document.
        """
        try:
            written = json.loads(text)
        except (ValueError, RecursionError):  # Truncated, or not JSON: pydantic reports the position.
            return cls.model_validate_json(text)
        found = written.get("schema_version") if isinstance(written, dict) else None
        if type(found) is not int or found != SCHEMA_VERSION:
            raise SchemaMismatchError(cls.__name__, found=found, expected=SCHEMA_VERSION)
        return cls.model_validate_json(text)
