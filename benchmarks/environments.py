"""Environments that a benchmark makes for the programs that it measures against, below `.cache/`."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

_ALL = Path(__file__).resolve().parents[1] / ".cache" / "benchmarks"


def find_python() -> str:
    """Return a Python of 3.12 or newer: this one, or one on PATH or of pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    on_path = [found for name in ("python3.13", "python3.12") if (found := shutil.which(name))]
    candidates = [sys.executable, *map(str, sorted(pyenv.glob("3.1[23]*/bin/python"), reverse=True)), *on_path]
    question = "import sys; sys.exit(sys.version_info < (3, 12))"
    for candidate in candidates:
        if subprocess.run([candidate, "-c", question], check=False, capture_output=True).returncode == 0:
            return candidate
    raise SystemExit("The peers need Python 3.12 or newer; none was found on PATH or under pyenv.")


def python_of(name: str, requirements: Path) -> Path:
    """
    Return the interpreter of an environment, making that first where it is missing or not up to date.

    Parameters
    ----------
    name
        Of its directory below `.cache/benchmarks/`.
    requirements
        A complete list of packages: it is installed without resolving dependencies.
    """
    directory = _ALL / name
    python = directory / "bin" / "python"
    stamp = directory / "requirements"
    wanted = requirements.read_text(encoding="utf-8")
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        shutil.rmtree(directory, ignore_errors=True)
        subprocess.run([find_python(), "-m", "venv", str(directory)], check=True)
        install = ["-m", "pip", "install", "--quiet", "--no-deps", "-r", str(requirements)]
        subprocess.run([str(python), *install], check=True)
        stamp.write_text(wanted, encoding="utf-8")
    return python
