"""
ESMValTool for REF from packages alone; `python -m tests.ref.esmvaltool` makes its environment.

REF runs ESMValTool with `micromamba run` in a conda environment that it makes itself. Where no conda packages can be
had, a virtual environment with ESMValTool from PyPI does the same for diagnostics that do not regrid: a script stands
in for micromamba, a module that fails on use for esmpy, and the recipes come from ESMValTool's own package.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.packaging.checkout import ROOT
from tests.ref.cached_environment import cached_environment
from tests.ref.home import RefHome

REQUIREMENTS = Path(__file__).with_name("esmvaltool-requirements.txt")

MICROMAMBA = """\
#!/bin/sh
# Stands in for `micromamba run --prefix PREFIX COMMAND...`: runs COMMAND with the programs of PREFIX in front.
[ "$1" = run ] && [ "$2" = --prefix ] || { echo "Only 'run --prefix' is known here, not: $*" >&2; exit 64; }
PATH=$3/bin:$PATH
CONDA_PREFIX=$3
export PATH CONDA_PREFIX
shift 3
exec "$@"
"""


ESMPY = '''\
"""Stands in for esmpy, which PyPI does not have: it has every name, and a use of one fails."""


class Missing:
    def __init__(self, name):
        self.name = name

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Missing(f"{self.name}.{name}")

    def __call__(self, *arguments, **keywords):
        raise ImportError(f"{self.name} needs the real esmpy, which PyPI does not have")


def __getattr__(name):
    return getattr(Missing("esmpy"), name)
'''


def esmvaltool_environment() -> Path:
    """Return a virtual environment with ESMValTool; it is made where it is not there yet, which takes some minutes."""
    return cached_environment("esmvaltool", REQUIREMENTS, ("3.13", "3.12"), added=ESMPY, finish=_add_esmpy)


def _add_esmpy(environment: Path) -> None:
    packages = next(environment.glob("lib/python*/site-packages"))
    (packages / "esmpy.py").write_text(ESMPY, encoding="utf-8")


def set_up_esmvaltool(home: RefHome) -> None:
    """Put into a home what `ref providers setup --provider esmvaltool` would download."""
    command = [sys.executable, "-m", "tests.ref.esmvaltool", str(esmvaltool_environment())]
    subprocess.run(command, cwd=ROOT, env=home.environment, check=True)


def _set_up(environment: Path) -> None:
    """Do it in the process that has the variables of the home, because REF reads them when it is imported."""
    from climate_ref.config import Config  # noqa: PLC0415 - see above
    from climate_ref_core.dataset_registry import dataset_registry_manager  # noqa: PLC0415
    from climate_ref_esmvaltool import provider  # noqa: PLC0415
    from climate_ref_esmvaltool.recipe import _RECIPES_REGISTRY_NAME  # noqa: PLC0415

    provider.configure(Config.default())
    provider.prefix.mkdir(parents=True, exist_ok=True)
    provider.conda_exe_path.write_text(MICROMAMBA, encoding="utf-8")
    provider.conda_exe_path.chmod(0o700)
    provider.env_path.unlink(missing_ok=True)
    provider.env_path.symlink_to(environment)
    registry = dataset_registry_manager[_RECIPES_REGISTRY_NAME]
    recipes = next(environment.glob("lib/python*/site-packages/esmvaltool/recipes"))
    for name in registry.registry:
        if (recipes / name).exists():
            (Path(registry.abspath) / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(recipes / name, Path(registry.abspath) / name)


if __name__ == "__main__":
    if sys.argv[1:]:
        _set_up(Path(sys.argv[1]))
    else:
        sys.stdout.write(f"{esmvaltool_environment()}\n")
