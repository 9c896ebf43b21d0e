"""Numbers of numpy and of libraries like it, made Python's own; nothing here imports them."""

import numbers
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BeforeValidator

_PLAIN: Final = (float, int, str, bool, type(None))


def as_plain(value: Any) -> Any:
    """
    Return the Python number that a scalar or an array of no dimensions stands for; anything else as it is.

    What is in mappings, lists and tuples is converted as well. A masked scalar is a missing value: null.

    Parameters
    ----------
    value
        For example `numpy.float32(1.5)`, `numpy.bool_(True)` or an `xarray.DataArray` of no dimensions.
    """
    if type(value) in _PLAIN:
        return value
    if isinstance(value, Mapping):
        return {key: as_plain(below) for key, below in value.items()}
    if type(value) in (list, tuple):
        return type(value)(as_plain(below) for below in value)
    return _scalar(value) if _has_no_dimensions(value) else value


def _has_no_dimensions(value: Any) -> bool:
    shape = getattr(value, "shape", None)
    return isinstance(shape, tuple) and not shape and callable(getattr(value, "item", None))


def _scalar(value: Any) -> Any:
    if getattr(value, "mask", False):  # what it would give instead is a zero that means nothing
        return None
    item = value.item()
    if type(item) in _PLAIN or not isinstance(item, numbers.Real):
        return item
    return float(item)  # the long floats of numpy give themselves: Python has none that loses nothing


PlainNumbers: Final = BeforeValidator(as_plain)
"""Makes a field accept them wherever it accepts Python's."""
