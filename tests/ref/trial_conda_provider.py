"""The trial as a provider that runs a command in a conda environment, through REF's own code for that."""

import sys
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.ref.esmvaltool import MICROMAMBA
from tests.ref.home import RefHome
from tests.ref.trial_provider import Trial, behaviour_of, is_first_attempt

providers: Any = import_module("climate_ref_core.providers")

CONDA_TRIAL = "tests.ref.trial_conda_provider:provider"
_KILLED = ("sh", "-c", "sh -c 'kill -9 $$'; exit $?")
"""Ends as `micromamba run` does where what it runs is killed."""


class CondaTrial(Trial):
    """Runs a command that is killed, or fails, or succeeds."""

    def execute(self, definition: Any) -> None:
        """Do what the files say."""
        self.provider.run(_command_of(self._source(definition)))


def _command_of(source: str) -> Iterable[str]:
    word, *_ = behaviour_of(source)
    if word == "killed" or (word == "killed-once" and is_first_attempt(source)):
        return _KILLED
    return ("sh", "-c", "exit 3") if word == "fails" else ("python", "-c", "pass")


class CondaProvider(providers.CondaDiagnosticProvider):  # type: ignore[misc]  # known when it is run
    """REF's own provider of conda environments, with this module in the place of a lock file."""

    def get_environment_file(self) -> AbstractContextManager[Path]:
        """Return what names the environment."""
        return nullcontext(Path(__file__))


provider = CondaProvider("Trial", "1")
provider.register(CondaTrial())


def set_up_conda_trial(home: RefHome) -> None:
    """Put into a home what `ref providers setup` would download."""
    provider.prefix = home.shared / "software" / "conda"
    programs = provider.env_path / "bin"
    programs.mkdir(parents=True, exist_ok=True)
    provider.conda_exe_path.write_text(MICROMAMBA, encoding="utf-8")
    provider.conda_exe_path.chmod(0o700)
    if not (programs / "python").exists():
        (programs / "python").symlink_to(sys.executable)
