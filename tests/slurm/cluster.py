"""
A private SLURM cluster: munged, slurmctld and several slurmd on this machine, as child processes, gone without a trace.

    with SlurmCluster(nodes=2, cpus=4, memory_mb=8000) as cluster:
        os.environ.update(cluster.environment)
        job = cluster.run("sbatch", "--parsable", "--wrap", "hostname").strip()

Needs root, control groups of version 1 and the Debian packages in `programs.PACKAGES`, but not pytest. Nodes claim the
CPUs and the memory that they are told to; the memory limits of jobs are real. Jobs start about a second after sbatch.
"""

import secrets
import shutil
import signal
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from climate_ref_prefect.testing.processes import wait_until
from tests.slurm import accounting as accounts
from tests.slurm import configuration, control_groups, programs
from tests.slurm.configuration import Layout, NodeSize
from tests.slurm.daemons import Daemons
from tests.slurm.programs import ClusterError

_START_SECONDS = 30.0
_DOWN_SECONDS = 60.0
_CANCEL_SECONDS = 3.0 * configuration.KILL_WAIT_SECONDS
_CONTROLLER = "slurmctld"
_TAKES_JOBS = frozenset({"idle", "mixed", "allocated", "completing"})


class SlurmCluster:
    """
    A cluster that runs while it is entered.

    Parameters
    ----------
    nodes, cpus, memory_mb
        How many nodes, and what each claims to have.
    accounting
        Whether `sacct` works and the accounts in `accounting.ACCOUNTS` are enforced; the start then takes some seconds.
    settings
        Lines of slurm.conf that replace ours or add to them, as `{"MinJobAge": "2"}`.
    """

    def __init__(
        self,
        nodes: int = 2,
        cpus: int = 4,
        memory_mb: int = 8000,
        *,
        accounting: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._number_of_nodes = nodes
        self._size = NodeSize(cpus, memory_mb)
        self._accounting = accounting
        self._settings = dict(settings or {})
        self._cleanup = ExitStack()
        self._running: tuple[Layout, Daemons] | None = None

    def __enter__(self) -> Self:
        """Start everything, and return when all nodes take jobs."""
        if reason := programs.why_unavailable():
            raise ClusterError(reason)
        with ExitStack() as cleanup:
            cleanup.callback(self._forget)
            self._start(cleanup)
            self._cleanup = cleanup.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Cancel the jobs, end everything, remove all files and control groups."""
        self._cleanup.close()

    @property
    def layout(self) -> Layout:
        """Return where everything of this cluster lies."""
        return self._parts[0]

    @property
    def nodes(self) -> tuple[str, ...]:
        """Return the names of the nodes."""
        return self.layout.nodes

    @property
    def environment(self) -> dict[str, str]:
        """Return what must be set for SLURM's commands to talk to this cluster."""
        return _environment(self.layout)

    def run(self, *command: str) -> str:
        """Return what a command printed; raises ClusterError with its words if it fails."""
        return programs.run(command, self.environment)

    def jobs(self) -> dict[int, str]:
        """Return the state of each job that the controller remembers, as `{7: "RUNNING"}`."""
        lines = self.run("squeue", "--all", "--noheader", "--states=all", "--format=%A %T").splitlines()
        return {int(number): state for number, state in (line.split() for line in lines)}

    def node_states(self) -> dict[str, str]:
        """Return the state of each node, as `{"...-node1": "idle"}`; where it does not answer, with a star."""
        lines = self.run("sinfo", "--noheader", "--Node", "--partition=normal", "--format=%N %T").splitlines()
        return {line.split()[0]: line.split()[1] for line in lines}

    def processes(self, node: str) -> set[int]:
        """Return the pids of all that runs on a node: slurmd, stepds and the jobs' own."""
        return control_groups.members(node)

    def pause_controller(self) -> None:
        """Have the scheduler not answer any more, until `resume_controller`."""
        self._daemons.signal(_CONTROLLER, signal.SIGSTOP)

    def resume_controller(self) -> None:
        """Have the scheduler answer again."""
        self._daemons.signal(_CONTROLLER, signal.SIGCONT)

    def stop_node(self, name: str) -> None:
        """Cut a node's power: slurmd, stepds and jobs end at once. Returns when the controller takes it for down."""
        control_groups.kill(name)
        self._daemons.stop(name)
        wait_until(lambda: self.node_states()[name].startswith("down"), _DOWN_SECONDS)

    def start_node(self, name: str) -> None:
        """Start a node that was stopped. Returns when it takes jobs."""
        self._start_node(name)
        self._wait_until_up({name})

    def pause_node(self, name: str) -> None:
        """Have a node's slurmd not answer any more, so that SLURM takes it for down while its jobs run on."""
        self._daemons.signal(name, signal.SIGSTOP)

    def resume_node(self, name: str) -> None:
        """Have a node's slurmd answer again. Returns when it takes jobs."""
        self._daemons.signal(name, signal.SIGCONT)
        self._wait_until_up({name})

    def expire(self, job: int) -> None:
        """Have a running job's time be up now; the controller looks for that every 30 s."""
        self.run("scontrol", "update", f"JobId={job}", "EndTime=now")

    @property
    def _parts(self) -> tuple[Layout, Daemons]:
        if self._running is None:
            raise ClusterError("the cluster does not run: use it in a with statement")
        return self._running

    @property
    def _daemons(self) -> Daemons:
        return self._parts[1]

    def _forget(self) -> None:
        self._running = None

    def _start(self, cleanup: ExitStack) -> None:
        # The users munge and mysql must get there, and the path of a socket is short.
        directory = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
        cleanup.callback(shutil.rmtree, directory)
        directory.chmod(0o755)
        layout = Layout.below(directory, f"c{secrets.token_hex(4)}", self._number_of_nodes)
        self._write_files(layout)
        daemons = Daemons(layout.directory / "log", _environment(layout))
        self._running = layout, daemons
        cleanup.callback(daemons.stop_all)
        self._start_munge()
        if self._accounting:
            accounts.start(layout, daemons, self.environment)
        daemons.start(_CONTROLLER, "slurmctld", "-D")
        cleanup.callback(self._stop_nodes)
        for name in self.nodes:
            self._start_node(name)
        self._wait_until_up(set(self.nodes))
        cleanup.callback(self._cancel_jobs)

    def _write_files(self, layout: Layout) -> None:
        for name in ("log", "munge", "state", *(f"spool/{node}" for node in layout.nodes)):
            (layout.directory / name).mkdir(parents=True)
        settings = {**(configuration.accounting_settings(layout) if self._accounting else {}), **self._settings}
        layout.configuration.write_text(configuration.slurm_conf(layout, self._size, settings))
        (layout.directory / "cgroup.conf").write_text(configuration.cgroup_conf())

    def _start_munge(self) -> None:
        socket = self.layout.munge_socket
        key = socket.with_name("key")
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))
        for path in (socket.parent, key):
            shutil.chown(path, "munge", "munge")
        files = [f"--{name}-file={socket.with_name(name)}" for name in ("key", "pid", "seed")]
        munged = self._daemons.start("munged", "munged", "--foreground", f"--socket={socket}", *files, user="munge")
        munged.wait_until(socket.exists)

    def _start_node(self, name: str) -> None:
        group = control_groups.create(name)
        self._daemons.start(name, "slurmd", "-D", "-N", name, "-f", str(self.layout.configuration), group=group)

    def _wait_until_up(self, names: set[str]) -> None:
        wait_until(lambda: self._are_up(names), _START_SECONDS)

    def _are_up(self, names: set[str]) -> bool:
        self._daemons.check()
        try:
            states = self.node_states()
        except ClusterError:  # the controller does not listen yet
            return False
        return all(states[name] in _TAKES_JOBS for name in names)

    def _cancel_jobs(self) -> None:
        self.resume_controller()
        with suppress(ClusterError, AssertionError):  # what does not end by this ends with its node
            if jobs := self.run("squeue", "--all", "--noheader", "--format=%A").split():
                self.run("scancel", *jobs)
                wait_until(lambda: not self.run("squeue", "--all", "--noheader"), _CANCEL_SECONDS)

    def _stop_nodes(self) -> None:
        for name in self.nodes:
            self._daemons.stop(name)
            control_groups.kill(name)
            control_groups.remove(name)


def _environment(layout: Layout) -> dict[str, str]:
    return {"SLURM_CONF": str(layout.configuration), "PATH": programs.search_path()}
