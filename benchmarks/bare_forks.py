"""A bare pool of forks: the floor for whatever gives each task a process. Nothing is checked, recorded or limited."""

import gc
import os
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def run_in_forks(work: Callable[[Item], object], items: Sequence[Item], workers: int) -> int:
    """Fork a child for each item, some at a time, and return how many have succeeded."""
    warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)
    gc.freeze()
    succeeded = 0
    for number, item in enumerate(items):
        if number >= workers:
            succeeded += _wait_for_one()
        _fork(work, item)
    return succeeded + sum(_wait_for_one() for _ in items[:workers])


def _fork(work: Callable[[Item], object], item: Item) -> None:
    if os.fork() != 0:
        return
    code = 1
    try:
        work(item)
        code = 0
    except BaseException:  # noqa: BLE001 - the child must not go on in what its parent does
        traceback.print_exc()
    finally:
        os._exit(code)


def _wait_for_one() -> bool:
    return os.wait()[1] == 0
