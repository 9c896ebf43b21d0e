"""A provider for tests: diagnostics that leave shared memory on the node."""

import ctypes
import os
import subprocess
import sys
import uuid
from multiprocessing import shared_memory
from pathlib import Path

from climate_ref_prefect.diagnostics.provider import DiagnosticProvider
from tests.faulty_diagnostics import Behaving


def make_segment(output: Path) -> None:
    number = ctypes.CDLL(None).shmget(0, 1 << 16, 0o600 | 0o1000)
    (output / "segment").write_text(str(number))


def make_segment_by_a_program(output: Path) -> None:
    program = "import ctypes; print(ctypes.CDLL(None).shmget(0, 1 << 16, 0o1600), end='')"
    made = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    (output / "segment").write_text(made.stdout)


def make_file(output: Path) -> None:
    path = Path("/dev/shm") / f"test-{uuid.uuid4().hex}"
    path.write_bytes(bytes(1 << 16))
    (output / "shared").write_text(str(path))


def make_tracked(output: Path) -> None:
    block = shared_memory.SharedMemory(create=True, size=1 << 16)
    (output / "shared").write_text(f"/dev/shm/{block.name}")
    os._exit(0)


provider = DiagnosticProvider(
    slug="shared",
    name="Shared memory",
    version="1",
    diagnostics=[
        Behaving("segment", make_segment),
        Behaving("segment-of-a-program", make_segment_by_a_program),
        Behaving("file", make_file),
        Behaving("tracked", make_tracked),
    ],
)
