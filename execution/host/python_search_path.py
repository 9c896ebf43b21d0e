"""
Python's search path: the current directory comes after everything that is installed.

A user's own `random.py` or `numpy.py` in the current directory must do no harm, and a provider there must still be
found. This module imports only `os` and `sys`, because any other module could be one of the user's before the order is
corrected.
"""

import os
import sys

IMPORT_LAST = "CLIMATE_REF_PREFECT_IMPORT_LAST"
"""Environment variable with the directories that come after all installed packages."""
USERS_PYTHONPATH = "CLIMATE_REF_PREFECT_USERS_PYTHONPATH"
"""Environment variable with the user's own PYTHONPATH, for the programs that a diagnostic starts."""
_PYTHONPATH = "PYTHONPATH"
_adopted: set[str] = set()
"""Directories that come last in the search path of the process that started this one."""


def look_into_current_directory_last() -> None:
    """Move the current directory, and that of the running script, to the end of this process's search path."""
    first, last = _split(sys.path)
    sys.path[:] = [*first, *last]


def search_path_of_interpreter() -> dict[str, str]:
    """Return the variables with which a Python that calls `adopt_search_path` finds the modules that this one finds."""
    first, last = _split(sys.path)
    users = os.environ.get(_PYTHONPATH, "")
    return {_PYTHONPATH: os.pathsep.join(first), IMPORT_LAST: os.pathsep.join(last), USERS_PYTHONPATH: users}


def search_path_of_job() -> dict[str, str]:
    """Return the same for the pilot of a batch job. Only the user's paths are passed, as its Python may differ."""
    named = os.environ.get(_PYTHONPATH, "")
    first, last = _split(named.split(os.pathsep) if named else [])
    last += [path for path in _split(sys.path)[1] if path not in last]
    return {_PYTHONPATH: os.pathsep.join(first), IMPORT_LAST: os.pathsep.join(last)}


def adopt_search_path() -> None:
    """Adopt the search path that the parent process has put into the environment."""
    last = [path for path in os.environ.pop(IMPORT_LAST, "").split(os.pathsep) if path]
    _adopted.update(last)
    sys.path.extend(path for path in last if path not in sys.path)
    users = os.environ.pop(USERS_PYTHONPATH, None)
    if users:
        os.environ[_PYTHONPATH] = users
    elif users is not None:
        os.environ.pop(_PYTHONPATH, None)


def _split(paths: list[str]) -> tuple[list[str], list[str]]:
    """Return the absolute paths that come first, and those that come last."""
    current = _current_directory()
    coming_last = {*_adopted, *_where_this_was_started(current)}
    first: list[str] = []
    last: list[str] = []
    for path in paths:
        absolute = os.path.normpath(os.path.join(current, path))  # noqa: PTH118
        if os.path.isabs(absolute):  # noqa: PTH117 - not so where the current directory is gone
            (last if {absolute, os.path.realpath(absolute)} & coming_last else first).append(absolute)
    return list(dict.fromkeys(first)), list(dict.fromkeys(last))


def _where_this_was_started(current: str) -> set[str]:
    """Return the current directory and that of the script, unless it is the one of installed commands."""
    found = {current} if current else set()
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    if script:
        directory = os.path.normpath(os.path.join(current, os.path.dirname(script)))  # noqa: PTH118, PTH120
        if directory == sys.path[0] and directory != os.path.dirname(sys.executable):  # noqa: PTH120
            found.add(directory)
    return found


def _current_directory() -> str:
    try:
        return os.getcwd()  # noqa: PTH109
    except FileNotFoundError:  # The current directory has been removed.
        return ""
