"""Import what has had another place or name at an earlier commit."""

import importlib
from typing import Any


def imported(attribute: str, *modules: str) -> Any:
    """Return an attribute of the first of some modules that exists and has it."""
    for module in modules:
        try:
            return getattr(importlib.import_module(f"climate_ref_prefect.{module}"), attribute)
        except (ImportError, AttributeError):
            continue
    raise SystemExit(f"None of {', '.join(modules)} has {attribute}.")
