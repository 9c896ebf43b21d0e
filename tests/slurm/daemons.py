"""The daemons of a cluster: child processes that serve until they are stopped, by their id."""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from climate_ref_prefect.testing.processes import SERVICE, wait_until
from tests.slurm.programs import ClusterError

_START_SECONDS = 60.0
_STOP_SECONDS = 15.0
_LOG_CHARACTERS = 3000


@dataclass(frozen=True)
class Daemon:
    """One of them."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Return as soon as it is `ready`; raises ClusterError with the end of its log if it ends before."""

        def is_ready() -> bool:
            self.check()
            return ready()

        wait_until(is_ready, _START_SECONDS)

    def check(self) -> None:
        """Raise ClusterError with the end of its log if it has ended."""
        if self.process.poll() is not None:
            log = self.log.read_text(errors="replace")[-_LOG_CHARACTERS:]
            raise ClusterError(f"{self.name} has ended with {self.process.returncode}:\n{log}")

    def stop(self) -> None:
        """End it, by force if it does not go; nothing happens if it has ended."""
        self.process.send_signal(signal.SIGTERM)
        self.process.send_signal(signal.SIGCONT)
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Daemons:
    """All of them; `logs` is the directory for all that they have to say."""

    def __init__(self, logs: Path, environment: Mapping[str, str]) -> None:
        self._logs = logs
        self._environment = dict(environment)
        self._daemons: dict[str, Daemon] = {}

    def start(self, name: str, *command: str, user: str | None = None, group: Path | None = None) -> Daemon:
        """Start one as `user`, within the control group `group`; it ends when this process does."""
        log = self._logs / f"{name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*_prefix(user, group), *command],
                cwd="/",
                env={**os.environ, **self._environment, SERVICE: "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for the starting process, which stops them in order
            )
        self._daemons[name] = Daemon(name, process, log)
        return self._daemons[name]

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send one a signal."""
        self._daemons[name].process.send_signal(number)

    def check(self) -> None:
        """Raise ClusterError if one has ended by itself."""
        for daemon in self._daemons.values():
            daemon.check()

    def stop(self, name: str) -> None:
        """End one, if it was started."""
        if daemon := self._daemons.pop(name, None):
            daemon.stop()

    def stop_all(self) -> None:
        """End all, the last one first."""
        for name in reversed(list(self._daemons)):
            self.stop(name)


def _prefix(user: str | None, group: Path | None) -> list[str]:
    prefix = ["setpriv", "--pdeathsig", "TERM"]
    if user is not None:
        prefix += [f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    if group is not None:
        prefix += ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(group / "cgroup.procs")]
    return prefix
