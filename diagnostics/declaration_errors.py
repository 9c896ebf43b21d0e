"""Put errors in a provider's declaration into words for people."""

import re
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pydantic
from pydantic import ValidationError
from pydantic_core import ErrorDetails

_LONGEST_INPUT: Final = 80
_PYDANTIC: Final = str(Path(pydantic.__file__).parent)
_MUST_BE: Final[Mapping[str, str]] = {
    "string_type": 'must be a text, for example "2"',
    "model_type": "must be a {class_name}",
    "literal_error": "must be {expected}",
}


def describe_validation_error(error: ValidationError) -> str:
    """Return the validation errors of a pydantic model, field by field."""
    return "; ".join(map(_told, error.errors()))


def declaration_error(error: BaseException) -> str:
    """Return the message of an exception that a declaration raised, with its position, which pydantic does not give."""
    if not isinstance(error, ValidationError):
        return f"{type(error).__name__}: {_said_by(error)}".rstrip(": ")
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(_PYDANTIC)]
    where = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return f"{error.title} is wrong: {describe_validation_error(error)}{where}"


def _said_by(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as trouble:  # noqa: BLE001 - an exception of the provider's own, which may do anything
        return f"its message cannot be read: {type(trouble).__name__}"


def _told(item: ErrorDetails) -> str:
    field = ".".join(map(str, item["loc"]))
    given = repr(item["input"])
    given = given if len(given) <= _LONGEST_INPUT else f"{given[:_LONGEST_INPUT]}..."
    if item["type"] == "string_pattern_mismatch" and field == "slug":
        allowed = "lower-case letters, digits, dots, dashes and underscores"
        return f"its `slug` is {given}, and must be {allowed}{_meant(item['input'])}"
    if item["type"] == "missing":
        return f"`{field}` is missing"
    if item["type"] == "extra_forbidden":
        return f"there is no field `{field}`"
    must = _MUST_BE.get(item["type"])
    if must is not None:
        return f"its `{field}` is {given}, and {must.format(**item.get('ctx', {}))}"
    said = item["msg"].removeprefix("Value error, ")
    return f"its `{field}` is {given}: {said}" if field else said


def _meant(slug: object) -> str:
    likely = re.sub("[^a-z0-9._]+", "-", str(slug).lower()).strip("._-")
    return f": is it {likely!r}?" if likely else ""
