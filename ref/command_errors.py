"""End REF's own commands in words: what this package raises for people is logged, and no traceback follows."""

from collections.abc import Iterator
from contextlib import contextmanager

from climate_ref_prefect.diagnostics.errors import ClimateRefPrefectError
from climate_ref_prefect.ref import upstream
from climate_ref_prefect.ref.solve_flow_run import is_in_flow_run

_FAILED = 1


@contextmanager
def commands_end_in_words() -> Iterator[None]:
    """
    Log an error of this package, and raise it in a form at which a command of REF's ends with 1 and no traceback.

    The error keeps its kind, so that programs that use the executor can catch it. `TimeoutError` is none of this
    package's: a command of REF's ends with it as with its other executors. A flow run shows its own errors, and
    gets them as they are.
    """
    try:
        yield
    except upstream.UpstreamMissingError:  # Without climate-ref there is no command of its own to end.
        raise
    except ClimateRefPrefectError as error:
        if is_in_flow_run():
            raise
        upstream.logger.error(str(error))
        raise _ending_commands(error) from error


def _ending_commands(error: ClimateRefPrefectError) -> ClimateRefPrefectError:
    """Return an error of the same kind that is Typer's `Exit` as well, which its commands take for their end."""
    kind = type(type(error).__name__, (type(error), upstream.Exit), {"exit_code": _FAILED})
    ending: ClimateRefPrefectError = kind.__new__(kind, *error.args)
    ending.__dict__.update(vars(error))
    return ending
