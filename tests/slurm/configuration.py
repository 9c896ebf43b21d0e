"""What SLURM's daemons read: where everything of one cluster lies, and the text of its configuration files."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CGROUP_MOUNT = Path("/sys/fs/cgroup")
KILL_WAIT_SECONDS = 5
_PARTITIONS = (
    "normal Default=YES PriorityTier=1",
    "bigmem PriorityTier=1",
    "short MaxTime=5 PriorityTier=1",
    "limited MaxTime=10 MaxNodes=1 MaxCPUsPerNode=2 MaxMemPerNode=1000 PriorityTier=1",
    "down State=DOWN PriorityTier=1",
    "inactive State=INACTIVE PriorityTier=1",
    "urgent PriorityTier=10 PreemptMode=OFF",
)


@dataclass(frozen=True)
class NodeSize:
    """What each node claims to have, whatever the machine has."""

    cpus: int
    memory_mb: int


@dataclass(frozen=True)
class Layout:
    """Names, ports and paths of one cluster; no two clusters on a machine have any in common."""

    directory: Path
    name: str
    nodes: tuple[str, ...]
    controller_port: int
    node_ports: tuple[int, ...]
    accounting_port: int
    database_port: int

    @classmethod
    def below(cls, directory: Path, name: str, number_of_nodes: int) -> "Layout":
        """Choose names after `name`, and ports that are free now."""
        controller, accounting, database, *nodes = free_ports(3 + number_of_nodes)
        names = tuple(f"{name}-node{number}" for number in range(1, number_of_nodes + 1))
        return cls(directory, name, names, controller, tuple(nodes), accounting, database)

    @property
    def configuration(self) -> Path:
        """Return the path of slurm.conf; cgroup.conf and slurmdbd.conf are read from beside it."""
        return self.directory / "slurm.conf"

    @property
    def munge_socket(self) -> Path:
        """Return the path of the socket at which this cluster's munged answers."""
        return self.directory / "munge" / "socket"

    def spool(self, node: str) -> Path:
        """Return the directory in which a node keeps the scripts of its jobs."""
        return self.directory / "spool" / node

    def log(self, daemon: str) -> Path:
        """Return the path of all that a daemon has to say."""
        return self.directory / "log" / f"{daemon}.log"


def free_ports(number: int) -> list[int]:
    """Return different ports that are free on loopback at this moment."""
    probes = [socket.socket() for _ in range(number)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def slurm_conf(layout: Layout, size: NodeSize, settings: Mapping[str, str]) -> str:
    """Return the text of slurm.conf; `settings` replace or add lines."""
    lines = {**_identity(layout), **_BEHAVIOUR, **settings}
    return "\n".join(
        [
            *(f"{key}={value}" for key, value in lines.items()),
            *(_node_line(layout, name, port, size) for name, port in zip(layout.nodes, layout.node_ports, strict=True)),
            *(f"PartitionName={partition} Nodes={','.join(layout.nodes)}" for partition in _PARTITIONS),
            "",
        ]
    )


def cgroup_conf() -> str:
    """Return the text of cgroup.conf: memory is limited, CPUs are not, since nodes claim more than there are."""
    return "\n".join(
        [
            "CgroupPlugin=cgroup/v1",
            f"CgroupMountpoint={CGROUP_MOUNT}",
            "CgroupAutomount=no",
            "ConstrainRAMSpace=yes",
            "ConstrainSwapSpace=yes",
            "AllowedSwapSpace=0",
            "ConstrainCores=no",
            "",
        ]
    )


def slurmdbd_conf(layout: Layout, user: str, password: str) -> str:
    """Return the text of slurmdbd.conf, which nobody but its owner may read."""
    return "\n".join(
        [
            "DbdHost=localhost",
            "DbdAddr=127.0.0.1",
            f"DbdPort={layout.accounting_port}",
            "SlurmUser=root",
            f"AuthInfo=socket={layout.munge_socket}",
            f"PidFile={layout.directory / 'slurmdbd.pid'}",
            "StorageType=accounting_storage/mysql",
            "StorageHost=127.0.0.1",
            f"StoragePort={layout.database_port}",
            "StorageLoc=slurm",
            f"StorageUser={user}",
            f"StoragePass={password}",
            "",
        ]
    )


def accounting_settings(layout: Layout) -> dict[str, str]:
    """Return the lines of slurm.conf that have jobs recorded, and the limits of accounts enforced."""
    return {
        "AccountingStorageType": "accounting_storage/slurmdbd",
        "AccountingStorageHost": "127.0.0.1",
        "AccountingStoragePort": str(layout.accounting_port),
        "AccountingStoragePass": str(layout.munge_socket),
        "AccountingStorageEnforce": "associations,limits,qos",
    }


def _identity(layout: Layout) -> dict[str, str]:
    directory = layout.directory
    return {
        "ClusterName": layout.name,
        "SlurmctldHost": f"{socket.gethostname()}(127.0.0.1)",
        "SlurmctldPort": str(layout.controller_port),
        "SlurmUser": "root",
        # A requeued job waits until its old credential has expired, 120 s as shipped.
        "AuthInfo": f"socket={layout.munge_socket},cred_expire=10",
        "StateSaveLocation": str(directory / "state"),
        "SlurmctldPidFile": str(directory / "slurmctld.pid"),
        "SlurmdPidFile": str(directory / "%n.pid"),
        "SlurmdSpoolDir": str(layout.spool("%n")),
    }


_BEHAVIOUR = {
    "MailProg": "/bin/true",
    "MpiDefault": "none",
    "ProctrackType": "proctrack/cgroup",
    "TaskPlugin": "task/cgroup",
    "JobAcctGatherType": "jobacct_gather/cgroup",
    "JobAcctGatherFrequency": "1",
    "SelectType": "select/cons_tres",
    "SelectTypeParameters": "CR_Core_Memory",
    "DefMemPerCPU": "500",
    "EnforcePartLimits": "ALL",
    "SlurmdParameters": "config_overrides",
    "SchedulerType": "sched/backfill",
    "SchedulerParameters": "batch_sched_delay=0,sched_interval=1,bf_interval=1",
    "PreemptType": "preempt/partition_prio",
    "PreemptMode": "REQUEUE",
    "OverTimeLimit": "0",
    "KillWait": str(KILL_WAIT_SECONDS),
    "MinJobAge": "900",
    "InactiveLimit": "0",
    "MessageTimeout": "5",
    "SlurmdTimeout": "10",
    "SlurmctldTimeout": "10",
    "ReturnToService": "2",
}


def _node_line(layout: Layout, name: str, port: int, size: NodeSize) -> str:
    return (
        f"NodeName={name} NodeHostname={socket.gethostname()} NodeAddr=127.0.0.1 Port={port} CPUs={size.cpus}"
        f" Boards=1 SocketsPerBoard=1 CoresPerSocket={size.cpus} ThreadsPerCore=1 RealMemory={size.memory_mb}"
    )
