"""
Fault points: before and after each write of a coordinator a test can kill its process, as a power cut would.

The environment variable `CLIMATE_REF_PREFECT_FAULT_POINT` says what happens there; without it nothing does. Workers do
not inherit it (`transports/worker/client.py` keeps variables of this prefix back), so that only the coordinator's own
writes are counted. docs/decisions/0029 says why this is part of the product's code.
"""

import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

VARIABLE: Final = "CLIMATE_REF_PREFECT_FAULT_POINT"
"""`list:PATH` has the name of every point that is passed appended to a file; any other value names one to die at."""
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
        What is written. Points are called `before NAME N` and `after NAME N`, where N counts from 1.
    """
    setting = os.environ.get(VARIABLE)
    if setting is None:
        yield
        return
    _pass(f"before {name}", setting)
    yield
    _pass(f"after {name}", setting)


def _pass(name: str, setting: str) -> None:
    with _lock:  # executions are published by several threads
        _passed[name] += 1
        point = f"{name} {_passed[name]}"
        if setting.startswith(_LIST):
            with open(setting.removeprefix(_LIST), "a", encoding="utf-8") as file:  # noqa: PTH123 - one line
                file.write(f"{point}\n")
        elif point == setting:
            os.kill(os.getpid(), signal.SIGKILL)
