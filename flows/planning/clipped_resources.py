"""Say for people where a transport gives an execution less than it asks for."""

from typing import Final

from climate_ref_prefect.diagnostics.resource_hint import ResourceHint

_UNITS: Final = {"cpu": " CPU", "memory_mb": " MiB", "wall_clock": ""}


def clipping_remark(name: str, asked: ResourceHint, granted: ResourceHint, transport: str) -> str:
    """
    Return a sentence on what a transport clips; empty if it gives what is asked for.

    Parameters
    ----------
    name
        Whose executions they are: `provider/diagnostic`.
    asked, granted
        What they ask for and what they are given.
    transport
        Name of the transport.
    """
    clipped = [field for field in _UNITS if getattr(asked, field) != getattr(granted, field)]
    if not clipped:
        return ""
    given = _listed(granted, clipped)
    return f"{name} asks for {_listed(asked, clipped)}, and is given {given}: all that {transport} has."


def _listed(resources: ResourceHint, fields: list[str]) -> str:
    return " and ".join(f"{getattr(resources, field)}{_UNITS[field]}" for field in fields)
