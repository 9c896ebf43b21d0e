"""Variables of the user's shell that `sbatch` must not see, because the job script has the same options."""

from pathlib import Path
from typing import Final

_OPTIONS: Final = {
    "SBATCH_ACCOUNT": ("-A", "--account"),
    "SBATCH_WCKEY": ("--wckey",),
    "SBATCH_CLUSTERS": ("-M", "--clusters"),
}
"""Variables that count if a job script does not have the option, with the beginnings of that option."""


def overruled_variables(script: Path) -> list[str]:
    """Return the variables that a job script overrules: `sbatch` would follow them instead of the script."""
    lines = script.read_text(encoding="utf-8", errors="replace").splitlines()
    directives = [line.split(maxsplit=1)[1] for line in lines if line.startswith("#SBATCH ")]
    return [
        name
        for name, options in _OPTIONS.items()
        if any(line.startswith(option) for line in directives for option in options)
    ]
