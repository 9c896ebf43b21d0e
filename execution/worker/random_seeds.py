"""Seed random number generators so that an execution draws the same numbers each time, and its own ones."""

import hashlib
import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, Final

from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition

_NUMPY: Final = "numpy.random"
_WORD_DIGITS: Final = 8
"""Number of hexadecimal digits of the 32 bits that numpy takes as one word of a seed."""


@contextmanager
def seeded_random(definition: ExecutionDefinition) -> Iterator[None]:
    """
    Seed the generators that `random` and `numpy.random` share among all code of a process.

    Forks of one server would otherwise draw the same numbers from numpy, each in its own execution. The seed follows
    from the group, its inputs and its versions, so that the same execution draws the same numbers in a fork, in a new
    interpreter, and at each attempt. If numpy is imported later, it is seeded then. Generators that a provider makes
    itself, such as `numpy.random.default_rng()`, are not seeded.
    """
    seed = hashlib.sha256(f"{definition.label}\n{definition.input_hash}".encode()).hexdigest()
    before = random.getstate()
    random.seed(int(seed, 16))  # a text would import a module in each child
    finder = _SeedingFinder(seed)
    if (numpy_random := sys.modules.get(_NUMPY)) is not None:
        _seed_numpy(numpy_random, seed)
    else:
        sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        random.setstate(before)  # This may be the coordinator's own process, in a debugger.
        if finder in sys.meta_path:
            sys.meta_path.remove(finder)


def _seed_numpy(module: ModuleType, seed: str) -> None:
    numpy_random: Any = module  # numpy is not a dependency of this package.
    try:
        numpy_random.seed([int(seed[at : at + _WORD_DIGITS], 16) for at in range(0, len(seed), _WORD_DIGITS)])
    except TypeError:  # The provider has replaced the generator by one of another kind.
        kind = type(numpy_random.get_bit_generator())
        numpy_random.set_bit_generator(kind(int(seed, 16)))


class _SeedingFinder(MetaPathFinder):
    """Import hook that seeds `numpy.random` as soon as it is imported."""

    def __init__(self, seed: str) -> None:
        self._seed = seed

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find `numpy.random` where it is always found, and leave all else to the other finders."""
        if fullname != _NUMPY:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_seed(module: ModuleType) -> None:
                execute(module)
                _seed_numpy(module, self._seed)

            spec.loader.exec_module = execute_and_seed  # type: ignore[method-assign]
        return spec
