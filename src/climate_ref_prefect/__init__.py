"""Run Climate-REF diagnostics through their whole execution lifecycle, as a Prefect plugin."""

import sys

__version__ = "0.1.0"

if sys.platform == "win32":
    raise ImportError(
        "climate-ref-prefect does not run on Windows: it needs POSIX processes, signals and file systems. "
        "Use Linux, or Windows Subsystem for Linux."
    )
