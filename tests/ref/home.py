"""A home of REF: its configuration, a database that knows the made data, and the variables that keep it to itself."""

import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.ref.made_data import write_cmip6, write_obs4ref

EXAMPLE = "climate_ref_example:provider"
ESMVALTOOL = "climate_ref_esmvaltool:provider"
ILAMB = "climate_ref_ilamb:provider"

SYNCHRONOUS = "climate_ref.executor.SynchronousExecutor"
LOCAL = "climate_ref.executor.LocalExecutor"
OURS = "climate_ref_prefect.ref.PrefectExecutor"

COMMAND_SECONDS = 540.0


@dataclass(frozen=True)
class RefHome:
    """
    One REF, as its operator has it.

    Attributes
    ----------
    configuration
        The directory of `ref.toml`, of the database, the scratch and the results.
    shared
        What several homes have in common: the made data, caches and the software of conda providers.
    variables
        Environment variables of its commands besides those that every home has.
    """

    configuration: Path
    shared: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def database(self) -> Path:
        """Where REF puts its SQLite file."""
        return self.configuration / "db" / "climate_ref.db"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a command that finds this REF, and nothing of the user's or of the internet's."""
        own = {
            "HOME": str(self.shared / "home"),
            "XDG_CACHE_HOME": str(self.shared / "home" / ".cache"),
            "CARTOPY_DATA_DIR": str(self.shared / "cartopy"),
            "REF_CONFIGURATION": str(self.configuration),
            "REF_DATASET_CACHE_DIR": str(self.shared / "data-cache"),
            "REF_IGNORE_DATASETS_URL": "",
            "ESGF_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        return {**os.environ, **own, **self.variables}

    def configure(
        self,
        executor: str,
        options: Sequence[str] = (),
        providers: Sequence[str] = (EXAMPLE,),
        top: Sequence[str] = (),
        paths: Sequence[str] = (),
    ) -> None:
        """Write `ref.toml`; `options`, `top` and `paths` are lines of TOML, the first ones of the executor."""
        lines = ['ignore_datasets_url = ""', *top, "[paths]", f'software = "{self.shared / "software"}"', *paths]
        lines += ["[executor]", f'executor = "{executor}"', "[executor.config]", *options]
        for provider in providers:
            lines += ["[[diagnostic_providers]]", f'provider = "{provider}"']
        (self.configuration / "ref.toml").write_text("\n".join([*lines, ""]), encoding="utf-8")

    def command(self, *arguments: str) -> list[str]:
        """Return a `ref` command of this environment."""
        return [str(Path(sysconfig.get_path("scripts"), "ref")), *arguments]

    def start(self, *arguments: str, **variables: str | None) -> subprocess.Popen[str]:
        """Start a `ref` command, with environment variables of its own; None removes one."""
        given = {**self.environment, **variables}
        return subprocess.Popen(
            self.command(*arguments),
            env={name: value for name, value in given.items() if value is not None},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            preexec_fn=_take_interrupts,  # noqa: PLW1509 - it takes no lock
        )

    def ref(self, *arguments: str, returncode: int = 0, **variables: str | None) -> str:
        """Run a `ref` command to its end; return what it printed."""
        with self.start(*arguments, **variables) as command:
            try:
                printed, _ = command.communicate(timeout=COMMAND_SECONDS)
            except BaseException:
                command.kill()
                raise
        if command.returncode != returncode:
            raise AssertionError(f"ref {' '.join(arguments)} ended with {command.returncode}:\n{printed}")
        return printed

    def copy_to(self, configuration: Path, **variables: str) -> "RefHome":
        """Copy configuration and database to another directory; the made data stays shared."""
        shutil.copytree(self.configuration, configuration)
        return RefHome(configuration, self.shared, {**self.variables, **variables})


def _take_interrupts() -> None:
    """Take SIGINT as in a shell: it is ignored where the tests run in the background, and a child inherits that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def make_ref_home(directory: Path) -> RefHome:
    """Write the data and a REF whose database is migrated and knows them; the example provider is configured."""
    home = RefHome(directory / "configuration", directory)
    for made in (home.configuration, directory / "home"):
        made.mkdir(parents=True)
    data = directory / "data"
    write_cmip6(data)
    write_obs4ref(data)
    home.configure(SYNCHRONOUS)
    home.ref("db", "migrate")
    home.ref("datasets", "ingest", "--source-type", "cmip6", str(data / "CMIP6"))
    home.ref("datasets", "ingest", "--source-type", "obs4ref", str(data / "obs4REF"))
    return home


if __name__ == "__main__":
    made_home = make_ref_home(Path(sys.argv[1]).resolve())
    sys.stdout.write(f"export REF_CONFIGURATION={made_home.configuration}\n")
