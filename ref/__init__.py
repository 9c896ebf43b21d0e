"""
climate-ref on this package: its executor, and a recorder over its database.

`executor = "climate_ref_prefect.ref.PrefectExecutor"` in `ref.toml` is all that REF has to be told. Nothing is imported
before that name is asked for: workers import this package as well, and must stay light.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from climate_ref_prefect.ref.executor import PrefectExecutor

__all__ = ["PrefectExecutor"]


def __getattr__(name: str) -> Any:
    """Import the executor when REF asks for it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from climate_ref_prefect.ref.executor import PrefectExecutor  # noqa: PLC0415 - a worker must not import it

    return PrefectExecutor
