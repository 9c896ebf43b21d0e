"""Report errors of the command: expected ones in a line, others with a traceback, each with an exit code."""

import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NoReturn

from pydantic import ValidationError

from climate_ref_prefect.diagnostics.errors import BadInputError, ClimateRefPrefectError
from climate_ref_prefect.flows.cli.console import PlainConsole
from climate_ref_prefect.flows.display.text_escaping import escape_control_characters
from climate_ref_prefect.flows.settings import Settings
from climate_ref_prefect.store.errors import LeaseLostError

FAILED: Final = 1
BAD_INPUT: Final = 2
LEASE_LOST: Final = 3
"""Another coordinator has taken over and continues."""
INTERRUPTED: Final = 130


class EndedBySignal(BaseException):
    """
    A signal has ended a command that is not resumed.

    Not an `Exception`, like `KeyboardInterrupt`, so that error handlers let it pass.
    """

    def __init__(self, number: int) -> None:
        # SIGHUP, which ends a login session, is treated like SIGTERM.
        self.exit_code = INTERRUPTED if number == signal.SIGINT else 128 + signal.SIGTERM
        super().__init__(f"Ended by {signal.Signals(number).name}.")


@contextmanager
def report_errors() -> Iterator[None]:
    """Report expected errors in a line and all others with their traceback, and exit."""
    try:
        yield
    except BadInputError as error:
        _fail(error, BAD_INPUT)
    except EndedBySignal as ended:
        _fail(ended, ended.exit_code)
    except LeaseLostError as error:
        _fail(error, LEASE_LOST)
    except ClimateRefPrefectError as error:
        _fail(error, FAILED)
    except ValidationError as error:
        if error.title != Settings.__name__:
            _show_where(error)
        _fail(_explain_settings(error), BAD_INPUT)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:  # Typer exits with this code after Ctrl-C.
            PlainConsole(errors=True).print("Interrupted; `climate-ref-prefect solve` goes on from here.")
        raise
    except Exception as error:  # noqa: BLE001 - the command ends and shows the traceback
        _show_where(error)


@contextmanager
def report_cancellation() -> Iterator[None]:
    """Report in a line that the flow run was cancelled, as can be done in Prefect's UI, and exit."""
    from prefect.exceptions import CancelledRun  # noqa: PLC0415 - importing Prefect takes seconds

    try:
        yield
    except CancelledRun as cancelled:
        _fail(cancelled, FAILED)


@contextmanager
def report_unreachable_server() -> Iterator[None]:
    """Report in a line that Prefect's server does not answer, and exit."""
    import httpx  # noqa: PLC0415 - only for what runs flows
    from prefect.settings import PREFECT_API_URL  # noqa: PLC0415 - importing Prefect takes seconds

    from climate_ref_prefect.flows.server.proxy_settings import proxy_in_use  # noqa: PLC0415
    from climate_ref_prefect.flows.server.unreachable_server import is_of_unreachable_server  # noqa: PLC0415

    try:
        yield
    except (httpx.HTTPError, RuntimeError) as error:
        if not is_of_unreachable_server(error):
            raise
        api_url = PREFECT_API_URL.value()
        proxy = proxy_in_use(api_url) if api_url else None
        where = f" at {api_url}" if api_url else ""
        where += f", which is asked for through the proxy {proxy}," if proxy else ""
        _fail(
            f"Prefect's server{where} does not answer: {error}. What has succeeded is in the "
            "store (`climate-ref-prefect status`), and `climate-ref-prefect solve` goes on from there.",
            FAILED,
        )


def _explain_settings(error: ValidationError) -> str:
    prefix = Settings.model_config["env_prefix"]
    return "; ".join(f"{prefix}{str(detail['loc'][0]).upper()}: {detail['msg']}" for detail in error.errors())


def _fail(error: BaseException | str, code: int) -> NoReturn:
    PlainConsole(errors=True).print(f"climate-ref-prefect: {error}", style="red")
    sys.exit(code)


def _show_where(error: Exception) -> NoReturn:
    """Print the traceback with escapes, because the messages in it may contain terminal codes."""
    sys.stderr.write(escape_control_characters("".join(traceback.format_exception(error))))
    sys.exit(FAILED)
