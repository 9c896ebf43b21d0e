"""`climate-ref-prefect doctor`: print the findings of a check, and clean up when a signal ends it."""

import signal
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Final

from rich.console import Console

from climate_ref_prefect.diagnostics.provider import find_provider
from climate_ref_prefect.flows.cli.errors_and_exit_codes import EndedBySignal
from climate_ref_prefect.flows.settings import Settings
from climate_ref_prefect.flows.workspace.file_system_checks import examine_file_systems
from climate_ref_prefect.transports.doctor.check_transport import check_transport
from climate_ref_prefect.transports.doctor_finding import CheckStatus, Finding
from climate_ref_prefect.transports.port import Transport

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_doctor(
    settings: Settings, transport: Transport, providers: Sequence[str], wait_seconds: float, console: Console
) -> bool:
    """
    Check a transport and print each finding at once. Returns whether all checks passed.

    Parameters
    ----------
    settings
        Settings, which name the scratch directory.
    transport
        The transport to check.
    providers
        Entry points or `module:attribute`.
    wait_seconds
        How long a job may take to start.
    console
        Where to print.

    Raises
    ------
    BadInputError
        If there is no such provider.
    EndedBySignal
        After the first signal, when everything has been cleaned up.
    """
    references = [find_provider(name) for name in providers]

    def findings() -> Generator[Finding, None, None]:
        yield from examine_file_systems(settings)
        yield from check_transport(transport, references, settings.scratch_directory, wait_seconds)

    return print_findings(findings(), console)


def print_findings(findings: Generator[Finding, None, None], console: Console) -> bool:
    """
    Print each finding at once, and then how many checks failed. Returns whether all passed.

    Parameters
    ----------
    findings
        Closed at the end, which cleans up.
    console
        Where to print.

    Raises
    ------
    EndedBySignal
        After the first signal, when everything has been cleaned up.
    """
    wrong = 0
    with _ended_in_order(), closing(findings):
        for finding in findings:
            wrong += finding.verdict is CheckStatus.WRONG
            console.print(str(finding))
    console.print(f"{wrong} {'check' if wrong == 1 else 'checks'} failed." if wrong else "All checks passed.")
    return not wrong


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """Turn the first signal into an exception, and ignore later ones while it cleans up."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    heeded = [number for number, handler in before.items() if handler is not signal.SIG_IGN]

    def end(number: int, frame: object) -> None:
        for each in heeded:
            signal.signal(each, signal.SIG_IGN)
        raise EndedBySignal(number)

    for number in heeded:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in heeded:
            signal.signal(number, before[number])
