"""Memory is read exactly where that matters; elsewhere its resident size stands for it, which is never smaller."""

import json
import subprocess
import sys
from typing import Any

import pytest

SAMPLED_MB = 64
PROGRAM = f"""
import json, os, sys
from climate_ref_prefect.execution.worker.resource_sampler import ResourceSampler

held = bytearray(os.urandom(1 << 20) * {SAMPLED_MB})
now = 0.0
sampler = ResourceSampler(float(sys.argv[1]), clock=lambda: now)
reading, writing = os.pipe()
child = os.fork()
if child == 0:
    os.close(writing)
    os.read(reading, 1)
    os._exit(0)
found = []
for step in sys.argv[2:]:
    now = float(step.removesuffix("!"))
    sampler.sample(exactly=step.endswith("!"))
    told = sampler.telemetry()
    found.append([told.peak_rss_mb, told.memory_source])
os.close(writing)
os.waitpid(child, 0)
print(json.dumps(found))
"""
"""Forks a child that shares all of its memory, and samples it at some seconds of a clock; with `!`, exactly."""


def sample(exact_above_mb: float, *steps: str) -> list[Any]:
    """Return peak and source after each step."""
    command = [sys.executable, "-c", PROGRAM, str(exact_above_mb), *steps]
    told: list[Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return told


def test_below_its_limit_the_resident_size_counts_which_is_an_upper_bound() -> None:
    ((peak_mb, source),) = sample(10_000, "0.2")
    assert peak_mb > SAMPLED_MB
    assert source == "rss"


def test_near_its_limit_shared_memory_counts_once() -> None:
    ((peak_mb, source),) = sample(SAMPLED_MB / 2, "0.2")
    assert SAMPLED_MB / 2 <= peak_mb < SAMPLED_MB
    assert source == "pss"


@pytest.mark.parametrize("second", ["5", "0.4!"])
def test_an_exact_reading_takes_what_is_shared_off_what_was_seen_before(second: str) -> None:
    (before_mb, _), (after_mb, source) = sample(10_000, "0.2", second)
    ((exact_mb, _),) = sample(0, "0.2")
    assert after_mb == pytest.approx(exact_mb, rel=0.2)
    assert after_mb < before_mb - SAMPLED_MB / 4
    assert source == "pss"
