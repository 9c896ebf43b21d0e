"""
Fault injection for tests: kill the coordinator before or after any of its writes, as a power cut would.

The environment variable `CLIMATE_REF_PREFECT_FAULT_POINT` names the write. Without it nothing happens. Workers do not
inherit variables of this prefix, so that only the writes of the coordinator are counted. docs/decisions/0029 says why
this is part of the package and not of its tests.
"""

import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

VARIABLE: Final = "CLIMATE_REF_PREFECT_FAULT_POINT"
"""`list:PATH` appends the name of each passed point to a file. Any other value names the point to die at."""
_LIST: Final = "list:"
_passed: Counter[str] = Counter()
_lock = threading.Lock()


@contextmanager
def write_point(name: str) -> Iterator[None]:
    """
    Mark a write: the process may be killed immediately before the block and immediately after it.

    Parameters
    ----------
    name
        Name of the write. Its points are called `before NAME N` and `after NAME N`, where N counts from 1.
    """
    setting = os.environ.get(VARIABLE)
    if setting is None:
        yield
        return
    _pass(f"before {name}", setting)
    yield
    _pass(f"after {name}", setting)


def _pass(name: str, setting: str) -> None:
    with _lock:  # Several threads publish executions.
        _passed[name] += 1
        point = f"{name} {_passed[name]}"
        if setting.startswith(_LIST):
            with open(setting.removeprefix(_LIST), "a", encoding="utf-8") as file:  # noqa: PTH123 - one line
                file.write(f"{point}\n")
        elif point == setting:
            os.kill(os.getpid(), signal.SIGKILL)
