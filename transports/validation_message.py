"""Put validation errors of a file into words, with the fields that are valid at that position."""

import difflib
from collections.abc import Sequence
from typing import get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails


def validation_message(error: ValidationError, model: type[BaseModel]) -> str:
    """
    Return the validation errors of a model in words.

    Parameters
    ----------
    error
        The error that validating the model raised.
    model
        The outermost model of the file.
    """
    return "; ".join(_told(item, model) for item in error.errors())


def _told(item: ErrorDetails, model: type[BaseModel]) -> str:
    *place, name = item["loc"] or ("",)
    if item["type"] != "extra_forbidden":
        return f"{_dotted(item['loc'])}: {item['msg'].removeprefix('Value error, ')}".removeprefix(": ")
    where = f" in `{_dotted(place)}`" if place else ""
    valid = sorted(set(_model_at(place, model).model_fields) - {"kind"})
    return f"there is no field `{name}`{where}{_meant(str(name), valid)}. Its fields are {', '.join(valid)}"


def _meant(name: str, valid: Sequence[str]) -> str:
    block, dot, inner = name.partition(".")
    if dot and block in valid:
        return f" (write `{inner}` below `{block}:`, as a block)"
    close = difflib.get_close_matches(name, valid, 1)
    return f" (is it `{close[0]}`?)" if close else ""


def _dotted(location: Sequence[int | str]) -> str:
    return ".".join(map(str, location))


def _model_at(location: Sequence[int | str], model: type[BaseModel]) -> type[BaseModel]:
    for part in location:
        if isinstance(part, str) and part in model.model_fields:
            model = _model_in(model.model_fields[part].annotation) or model
    return model


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)
