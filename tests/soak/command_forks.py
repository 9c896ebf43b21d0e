"""
A process that has imported the command, and forks it: a start costs milliseconds instead of seconds.

It has no threads and no connections, so that each fork is as good as a process of its own. The parent writes a line of
JSON for each start; the answer is a line with the process, and a line with its exit code once it has ended.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from climate_ref_prefect.execution.host.process_identity import process_start
from climate_ref_prefect.testing.processes import SERVICE, Process
from tests.flows.temporary_site import environment


class Started:
    """A command that has been started and may still run."""

    def __init__(self, pid: int, process: "subprocess.Popen[str]", log: Path) -> None:
        self.process = Process(pid, process_start(pid) or "")
        self.log = log
        self.code: int | None = None
        self._process = process

    def wait(self) -> int:
        """Return how it ended; a negative code is a signal."""
        if self.code is None:
            self.code = int(_read(self._process))
        return self.code


class PreloadedCommand:
    """Starts `climate-ref-prefect`, one at a time, by forking a process that has imported it."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def start(self, arguments: Sequence[str], settings: Mapping[str, str], log: Path) -> Started:
        """
        Start the command.

        Parameters
        ----------
        arguments
            Of the command.
        settings
            Variables that its environment has beside those of this process.
        log
            Where what it prints is appended.
        """
        assert self._process.stdin is not None
        asked = {"arguments": list(arguments), "environment": dict(settings), "log": str(log)}
        self._process.stdin.write(f"{json.dumps(asked)}\n")
        self._process.stdin.flush()
        return Started(int(_read(self._process)), self._process, log)

    def run(self, arguments: Sequence[str], settings: Mapping[str, str], log: Path) -> int:
        """Run the command to its end and return its exit code."""
        return self.start(arguments, settings, log).wait()


@contextmanager
def preloaded_command() -> Iterator[PreloadedCommand]:
    """Keep a process that has imported the command while the context lasts."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.soak.command_forks"],
        env={**environment(), SERVICE: "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield PreloadedCommand(process)
        assert process.stdin is not None
        process.stdin.close()


def _read(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "the preloaded command has ended"
    return line


def _serve() -> Sequence[str] | None:
    """Fork for each line; returns the arguments in a fork, and none once the parent has no more to ask."""
    answers = sys.stdout
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(asked["environment"], Path(asked["log"]))
            return list(asked["arguments"])
        print(pid, file=answers, flush=True)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), file=answers, flush=True)
    return None


def _become(variables: Mapping[str, str], log: Path) -> None:
    os.setsid()
    os.environ.update(variables)
    del os.environ[SERVICE]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored where the tests run in the background
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)


if __name__ == "__main__":
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    from climate_ref_prefect.flows import solve  # noqa: F401 - imported once for all forks
    from climate_ref_prefect.flows.cli.main import main
    from climate_ref_prefect.store.sql import sql_store  # noqa: F401 - the same

    arguments = _serve()
    if arguments is not None:
        sys.argv = ["climate-ref-prefect", *arguments]
        # Prefect joins a heartbeat's thread for a second at the end of each flow run.
        with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
            main()
