"""
Where Python looks for modules: the current directory comes after everything that is installed.

A user's own `random.py` or `numpy.py` beside a solve must do no harm, and a provider from there must still be found.
Imports nothing but `os` and `sys`: each other module could be one of the user's until the order is mended.
"""

import os
import sys

IMPORT_LAST = "CLIMATE_REF_PREFECT_IMPORT_LAST"
"""Environment variable with the directories that come after everything that is installed."""
USERS_PYTHONPATH = "CLIMATE_REF_PREFECT_USERS_PYTHONPATH"
"""Environment variable with the PYTHONPATH that the user has set, for what a diagnostic starts."""
_PYTHONPATH = "PYTHONPATH"
_adopted: set[str] = set()
"""Directories that came last in the process that started this one."""


def look_into_current_directory_last() -> None:
    """Move the current directory, and that of the script that runs, to the end of this process's own search path."""
    first, last = _split(sys.path)
    sys.path[:] = [*first, *last]


def search_path_of_interpreter() -> dict[str, str]:
    """Return the variables with which a Python that calls `adopt_search_path` finds what can be imported here."""
    first, last = _split(sys.path)
    users = os.environ.get(_PYTHONPATH, "")
    return {_PYTHONPATH: os.pathsep.join(first), IMPORT_LAST: os.pathsep.join(last), USERS_PYTHONPATH: users}


def search_path_of_job() -> dict[str, str]:
    """Return the same for the pilot of a batch job, whose Python may be another one: what the user has named alone."""
    named = os.environ.get(_PYTHONPATH, "")
    first, last = _split(named.split(os.pathsep) if named else [])
    last += [path for path in _split(sys.path)[1] if path not in last]
    return {_PYTHONPATH: os.pathsep.join(first), IMPORT_LAST: os.pathsep.join(last)}


def adopt_search_path() -> None:
    """Take over what the process that started this one has put into its environment."""
    last = [path for path in os.environ.pop(IMPORT_LAST, "").split(os.pathsep) if path]
    _adopted.update(last)
    sys.path.extend(path for path in last if path not in sys.path)
    users = os.environ.pop(USERS_PYTHONPATH, None)
    if users:
        os.environ[_PYTHONPATH] = users
    elif users is not None:
        os.environ.pop(_PYTHONPATH, None)


def _split(paths: list[str]) -> tuple[list[str], list[str]]:
    """Return absolute paths: of what comes first, and of what comes last."""
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
    except FileNotFoundError:  # somebody has removed it
        return ""
