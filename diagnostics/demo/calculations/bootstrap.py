"""
The moving-block bootstrap: how much an estimate would vary, had other years or another weather been sampled.

Blocks keep together what follows each other in time (Künsch 1989, doi:10.1214/aos/1176347265). The end of a record is
followed by its beginning, so that every value is as likely as any other (Politis and Romano 1992, A circular
block-resampling procedure for stationary data).
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from climate_ref_prefect.diagnostics.demo.calculations.autocorrelation import autocorrelation
from climate_ref_prefect.diagnostics.demo.calculations.time_series import Floats, Integers
from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition

RESAMPLES = 10_000
_ELEMENTS = 2**17
"""Numbers that are resampled at a time: 1 MiB of them stays in a processor's cache."""
_LEAST_BLOCKS = 3


@dataclass(frozen=True, slots=True)
class Blocks:
    """Resamples of a record, each made of blocks that begin anywhere."""

    starts: Integers
    """Where each block begins, shape (resamples, blocks)."""
    length: int
    """Values of a block; the last block of a resample may be cut."""
    size: int
    """Values of the record, and of each resample."""

    def resampled(self, values: Floats) -> Iterator[Floats]:
        """Yield resamples of values along their first axis, some at a time, shape (resamples, size, ...)."""
        wrapped = np.concatenate([values, values[: self.length - 1]])
        within = np.arange(self.length)
        rows = max(1, _ELEMENTS // values.size)
        for first in range(0, len(self.starts), rows):
            positions = self.starts[first : first + rows, :, np.newaxis] + within
            yield wrapped[positions.reshape(len(positions), -1)[:, : self.size]]

    def means(self, values: Floats) -> Floats:
        """Return the mean of each resample along the first axis of the values, shape (resamples, ...)."""
        return np.concatenate([resampled.mean(axis=1) for resampled in self.resampled(values)])


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """A stream of random numbers, and how many resamples are to be drawn from it."""

    generator: np.random.Generator
    resamples: int = RESAMPLES

    @classmethod
    def seeded(cls, name: str, resamples: int = RESAMPLES) -> Self:
        """Begin a stream that a name determines, in any process and on any machine."""
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest())
        return cls(np.random.Generator(np.random.PCG64(seed)), resamples)

    @classmethod
    def of(cls, definition: ExecutionDefinition) -> Self:
        """Begin the stream of an execution: that of its diagnostic and its data sets, wherever they lie."""
        return cls.seeded("\n".join([definition.diagnostic, *(dataset.instance_id for dataset in definition.datasets)]))

    def blocks(self, size: int, length: int) -> Blocks:
        """Draw blocks for records of a size."""
        return Blocks(self.generator.integers(size, size=(self.resamples, -(-size // length))), length, size)


def block_length(values: Floats, at_least: int = 1) -> int:
    """
    Return how long blocks have to be, for values as autocorrelated as these.

    The length that makes the error of the variance of a mean smallest, were the values a first-order autoregressive
    process: (6 r² / (1 - r²)²)^(1/3) n^(1/3), with r their autocorrelation at lag 1 (Politis and White 2004,
    doi:10.1081/ETC-120028836; Carlstein 1986, doi:10.1214/aos/1176350057), rounded up. At most a third of the record.

    Parameters
    ----------
    values
        Of zero mean, shape (time,).
    at_least
        The result is not less, where the record is long enough.
    """
    size, lag1 = len(values), float(autocorrelation(values, 1)[1])
    optimal = int(np.ceil((6 * lag1**2 / (1 - lag1**2) ** 2 * size) ** (1 / 3))) if lag1 > 0 else 1
    return max(1, min(max(optimal, at_least), size // _LEAST_BLOCKS))
