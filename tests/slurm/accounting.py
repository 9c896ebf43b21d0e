"""What `sacct` and the limits of accounts need: MariaDB and slurmdbd of the cluster's own, and accounts."""

import secrets
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path

from tests.slurm import configuration, programs
from tests.slurm.configuration import Layout
from tests.slurm.daemons import Daemons

ACCOUNTS: Mapping[str, tuple[str, ...]] = {"science": (), "small": ("MaxSubmitJobs=2", "MaxJobs=1")}
"""The accounts that root may use, and how much of each root may use at once. The first is the default."""
_DATABASE_USER = "slurm"
_SETTINGS = (
    "--skip-log-bin",
    "--skip-name-resolve",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-doublewrite=0",
    "--innodb-log-file-size=16M",
    "--innodb-lock-wait-timeout=900",
)
"""Nothing has to survive a power cut here. slurmdbd complains where locks are not waited for that long."""


def start(layout: Layout, daemons: Daemons, environment: Mapping[str, str]) -> None:
    """Start the database and slurmdbd, and make the accounts."""
    password = secrets.token_hex(16)
    database = layout.directory / "database"
    _initialise(database, password, environment)
    mariadb = daemons.start("mariadbd", *_mariadb(database, layout.database_port), user="mysql")
    mariadb.wait_until(lambda: _listens(layout.database_port))
    conf = layout.directory / "slurmdbd.conf"
    conf.touch(mode=0o600)
    conf.write_text(configuration.slurmdbd_conf(layout, _DATABASE_USER, password))
    slurmdbd = daemons.start("slurmdbd", "slurmdbd", "-D")
    slurmdbd.wait_until(lambda: _listens(layout.accounting_port))
    _make_accounts(layout.name, environment)


def _initialise(directory: Path, password: str, environment: Mapping[str, str]) -> None:
    directory.mkdir(mode=0o700)
    first = directory / "first.sql"
    first.touch(mode=0o600)
    first.write_text(
        "CREATE DATABASE slurm;\n"
        f"CREATE USER {_DATABASE_USER}@'127.0.0.1' IDENTIFIED BY '{password}';\n"
        f"GRANT ALL ON slurm.* TO {_DATABASE_USER}@'127.0.0.1';\n"
    )
    for path in (directory, first):
        shutil.chown(path, "mysql", "mysql")
    options = ["--no-defaults", "--user=mysql", f"--datadir={directory / 'data'}"]
    programs.run(["mariadb-install-db", *options, "--skip-test-db", "--skip-name-resolve"], environment)


def _mariadb(directory: Path, port: int) -> list[str]:
    files = {"datadir": "data", "init-file": "first.sql", "socket": "socket", "pid-file": "pid"}
    paths = [f"--{option}={directory / name}" for option, name in files.items()]
    return ["mariadbd", "--no-defaults", *paths, f"--port={port}", "--bind-address=127.0.0.1", *_SETTINGS]


def _listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _make_accounts(cluster: str, environment: Mapping[str, str]) -> None:
    def administer(*words: str) -> None:
        programs.run(["sacctmgr", "--immediate", *words], environment)

    administer("add", "cluster", cluster)
    for account, limits in ACCOUNTS.items():
        administer("add", "account", account, f"Cluster={cluster}")
        administer("add", "user", "root", f"Account={account}", f"Cluster={cluster}", *limits)
    administer("modify", "user", "root", "set", f"DefaultAccount={next(iter(ACCOUNTS))}")
