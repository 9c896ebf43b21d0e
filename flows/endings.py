"""How the command ends where something went wrong: told in a line, with an exit code."""

import logging
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NoReturn

from pydantic import ValidationError

from climate_ref_prefect.diagnostics.errors import BadInputError, ClimateRefPrefectError
from climate_ref_prefect.flows.console import PlainConsole
from climate_ref_prefect.flows.plain_text import visible
from climate_ref_prefect.flows.settings import Settings
from climate_ref_prefect.store.errors import LeaseLostError

FAILED: Final = 1
BAD_INPUT: Final = 2
LEASE_LOST: Final = 3
"""Another coordinator has taken over; it goes on with what was left."""
INTERRUPTED: Final = 130


class EndedBySignal(BaseException):
    """
    A signal has put an end to what is not taken up again.

    No `Exception`, as `KeyboardInterrupt` is none: whoever handles errors must let it pass.
    """

    def __init__(self, number: int) -> None:
        # SIGHUP, which ends a login session, is taken for SIGTERM.
        self.exit_code = INTERRUPTED if number == signal.SIGINT else 128 + signal.SIGTERM
        super().__init__(f"Ended by {signal.Signals(number).name}.")


class Foreseen(logging.Filter):
    """Leaves the traceback out of what Prefect logs of errors that were foreseen: they are told in a line."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let everything pass, some of it shorter."""
        import httpx  # noqa: PLC0415 - Prefect, which logs, has imported it

        if record.exc_info and isinstance(record.exc_info[1], ClimateRefPrefectError | httpx.HTTPError):
            record.exc_info = None
        return True


@contextmanager
def errors_told() -> Iterator[None]:
    """Tell errors that were foreseen in a line, and of all others where they come from."""
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
        if ended.code == INTERRUPTED:  # what typer makes of Ctrl-C
            PlainConsole(errors=True).print("Interrupted; `climate-ref-prefect solve` goes on from here.")
        raise
    except Exception as error:  # noqa: BLE001 - the command ends, and shows all that there is to see
        _show_where(error)


@contextmanager
def cancellation_told() -> Iterator[None]:
    """Tell in a line that the flow run was cancelled, as it can be in Prefect's UI."""
    from prefect.exceptions import CancelledRun  # noqa: PLC0415 - importing Prefect takes seconds

    try:
        yield
    except CancelledRun as cancelled:
        _fail(cancelled, FAILED)


@contextmanager
def silence_told() -> Iterator[None]:
    """Tell in a line that Prefect's server does not answer."""
    import httpx  # noqa: PLC0415 - only for what runs flows
    from prefect.settings import PREFECT_API_URL  # noqa: PLC0415 - importing Prefect takes seconds

    from climate_ref_prefect.flows.proxies import proxy_in_use  # noqa: PLC0415

    try:
        yield
    except (httpx.HTTPError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not isinstance(error.__cause__, httpx.HTTPError):
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
    """Print the traceback, which has what others say in it, and so may have codes of a terminal."""
    sys.stderr.write(visible("".join(traceback.format_exception(error))))
    sys.exit(FAILED)
