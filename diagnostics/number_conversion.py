"""Convert numbers of numpy and similar libraries to Python numbers, without importing these libraries."""

import numbers
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BeforeValidator

_PLAIN: Final = (float, int, str, bool, type(None))


def to_python_number(value: Any) -> Any:
    """
    Convert a scalar or an array without dimensions to a Python number. Anything else is returned unchanged.

    The items of mappings, lists and tuples are converted as well. A masked scalar is a missing value and becomes null.

    Parameters
    ----------
    value
        For example `numpy.float32(1.5)`, `numpy.bool_(True)` or an `xarray.DataArray` of no dimensions.
    """
    if type(value) in _PLAIN:
        return value
    if isinstance(value, Mapping):
        return {key: to_python_number(below) for key, below in value.items()}
    if type(value) in (list, tuple):
        return type(value)(to_python_number(below) for below in value)
    return _scalar(value) if _has_no_dimensions(value) else value


def _has_no_dimensions(value: Any) -> bool:
    shape = getattr(value, "shape", None)
    return isinstance(shape, tuple) and not shape and callable(getattr(value, "item", None))


def _scalar(value: Any) -> Any:
    if getattr(value, "mask", False):  # Converting it would give a meaningless zero.
        return None
    item = value.item()
    if type(item) in _PLAIN or not isinstance(item, numbers.Real):
        return item
    return float(item)  # A long float of numpy returns itself, because no Python float holds it without loss.


AcceptNumpyNumbers: Final = BeforeValidator(to_python_number)
"""Makes a field accept such numbers wherever it accepts Python numbers."""
