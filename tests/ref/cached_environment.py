"""Virtual environments that outlive a checkout, for programs that cannot be installed beside this package."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.packaging.checkout import ROOT


def cache_directory() -> Path:
    """Return where they lie: in the user's own cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "climate-ref-prefect"


def cached_environment(
    name: str,
    requirements: Path,
    versions: Sequence[str],
    *,
    added: str = "",
    finish: Callable[[Path], object] = lambda environment: None,
) -> Path:
    """
    Return an environment with all that a list of packages has; it is made where it is not there yet.

    One that was made from another list, or with another Python, goes.

    Parameters
    ----------
    name
        Begins the name of its directory.
    requirements
        A complete list, each package with its version.
    versions
        Of Python, the one that is preferred first.
    added
        What `finish` puts into it, so that it is made anew where that changes.
    finish
        Called with the environment once the packages are installed.
    """
    python = subprocess.run(
        [ROOT / "scripts" / "find_python", *versions], check=True, stdout=subprocess.PIPE, encoding="utf-8"
    ).stdout.strip()
    key = hashlib.sha256(f"{python}{added}".encode() + requirements.read_bytes()).hexdigest()[:12]
    environment = cache_directory() / f"{name}-{key}"
    with _alone(cache_directory() / f"{name}.lock"):
        if not (environment / "complete").exists():
            for earlier in environment.parent.glob(f"{name}-*"):
                shutil.rmtree(earlier)
            _install(Path(python), environment, requirements)
            finish(environment)
            (environment / "complete").touch()
    return environment


def without_python_path() -> dict[str, str]:
    """Return the environment variables of this process without the packages that it shows to every Python."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def _install(python: Path, environment: Path, requirements: Path) -> None:
    own = without_python_path()
    subprocess.run([python, "-m", "venv", environment], check=True, env=own)
    pip = [str(environment / "bin" / "python"), "-m", "pip", "--require-virtualenv", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--quiet", "--requirement", str(requirements)], check=True, env=own)


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
