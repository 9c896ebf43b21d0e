"""Tell whether a Prefect server may be configured, without importing Prefect, which takes seconds."""

import os
from pathlib import Path


def may_be_configured() -> bool:
    """Return False if no server can be configured, as is known before Prefect is imported."""
    home = Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser()
    profiles = Path(os.environ.get("PREFECT_PROFILES_PATH") or home / "profiles.toml")
    files = [(profiles, b"api"), (Path(".env"), b"prefect"), (Path("prefect.toml"), b"api")]
    return "PREFECT_API_URL" in os.environ or any(
        _says(path, word) for path, word in [*files, (Path("pyproject.toml"), b"tool.prefect")]
    )


def _says(path: Path, word: bytes) -> bool:
    try:
        return word in path.read_bytes().lower()
    except OSError:
        return False
