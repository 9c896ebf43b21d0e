"""Coordinators in processes of their own, to be interrupted."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from climate_ref_prefect.testing.processes import Process, left_behind, started_here, wait_until
from tests.flows.temporary_site import PROVIDER, Site, environment

_HEEDS_SIGNALS = """
import signal
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
"""
"""Also where the tests themselves are run with `nohup` or in the background."""
COMMAND = ("-c", f"{_HEEDS_SIGNALS}\nfrom climate_ref_prefect.flows.cli.main import main\nmain()")
_END_SECONDS = 30.0
_GONE_SECONDS = 10.0
_COMMAND_SECONDS = 400.0
"""The whole demo, on a machine that has other things to do."""


@dataclass(frozen=True)
class Ended:
    """How a command ended and what it said."""

    code: int
    output: str
    errors: str


def reported(said: str) -> str:
    """Return the one line in which a command reports its error; Prefect may log after it, while it sends its events."""
    (line,) = [line for line in said.splitlines() if line.startswith("climate-ref-prefect: ")]
    return line


Run = Callable[..., Ended]
"""Runs the command with some arguments."""


def run_command(*arguments: str, more: Mapping[str, str] | None = None) -> Ended:
    """Run `climate-ref-prefect` to its end."""
    ended = subprocess.run(
        [sys.executable, *COMMAND, *arguments],
        env={**environment(), **(more or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=_COMMAND_SECONDS,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


class Coordinator:
    """
    `climate-ref-prefect` in a process and a session of its own, as a shell starts it.

    Parameters
    ----------
    site
        Where it works.
    arguments
        What it is told to do.
    without
        Environment variables that it does not get.
    """

    def __init__(self, site: Site, arguments: Sequence[str], without: Sequence[str] = ()) -> None:
        self.site = site
        self._before = started_here()
        self._log = site.notes / f"coordinator-{len(list(site.notes.glob('coordinator-*')))}.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *COMMAND, *arguments],
                env={name: value for name, value in environment().items() if name not in without},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process."""
        return self.process.pid

    @property
    def said(self) -> str:
        """What it has printed and logged."""
        return self._log.read_text()

    def wait_until_it_holds(self, *paths: Path) -> None:
        """Wait until it coordinates and files are there; fails if it ends before."""

        def there() -> bool:
            assert self.process.poll() is None, self.said
            return self._holds() and all(path.exists() for path in paths)

        wait_until(there, 60)

    def holds_or_ends(self) -> bool:
        """Wait until it coordinates, or has ended because there was nothing to do; return whether it coordinates."""
        return wait_until(lambda: "holds" if self._holds() else self.process.poll() is not None, 60) == "holds"

    def _holds(self) -> bool:
        holder = self.site.holder()
        return holder is not None and holder.pid == self.pid

    def interrupt(self, number: signal.Signals) -> int:
        """Signal it as a shell (the whole group, for Ctrl-C) or a scheduler does, and wait for its end."""
        if number is signal.SIGINT:
            os.killpg(self.pid, number)
        else:
            os.kill(self.pid, number)
        return self.wait()

    def wait(self, timeout_seconds: float = _END_SECONDS) -> int:
        """Return how it ended, once nothing that it had started runs any more."""
        code = self.process.wait(timeout_seconds)
        wait_until(lambda: not self.remaining(), _GONE_SECONDS)
        return code

    def remaining(self) -> set[Process]:
        """Return what it has started and what still runs, itself included."""
        return left_behind(self._before)


@contextmanager
def command(site: Site, *arguments: str, without: Sequence[str] = ()) -> Iterator[Coordinator]:
    """Start a coordinator; it is killed where the test leaves it running."""
    started = Coordinator(site, arguments, without)
    try:
        yield started
    finally:
        if started.process.poll() is None:
            started.process.kill()
        started.process.wait()


def coordinator(
    site: Site, *diagnostics: str, provider: str = PROVIDER, without: Sequence[str] = ()
) -> AbstractContextManager[Coordinator]:
    """Start a solve with some diagnostics of a provider."""
    names = [option for diagnostic in diagnostics for option in ("--diagnostic", diagnostic)]
    data = ["--data", str(site.data), "--provider", provider]
    return command(site, "solve", *data, "--cpu", "4", *names, without=without)
