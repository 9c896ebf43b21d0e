"""How a caller and the warm server of a provider speak: one byte a request, then a socket for each."""

import select
import socket
from collections.abc import Iterable
from typing import Final

from climate_ref_prefect.diagnostics.model import FrozenModel
from climate_ref_prefect.diagnostics.outcome import ExecutionFailure

EXECUTE: Final = b"E"
"""Run an execution: the caller says the directory in a line, the answer is the outcome."""
DESCRIBE: Final = b"D"
"""Describe the provider."""
SIZES: Final = b"S"
"""Ask the diagnostics for the resources of some definitions."""
CANCEL: Final = b"cancel\n"
"""What a caller sends to have an execution stopped."""
END: Final = b"ending\n"
"""What a caller sends whose job is about to be ended by the scheduler."""

_MILLISECONDS: Final = 1000


class Ready(FrozenModel):
    """What a server says, in one line, once its provider has been imported and warmed up, or could not be."""

    failure: ExecutionFailure | None = None
    obstacles: tuple[str, ...] = ()
    """Why executions start in new interpreters although they were to be forked, each in words."""


def wait_for_input(descriptors: Iterable[int], timeout_seconds: float | None = None) -> set[int]:
    """
    Return those of some descriptors that can be read, or have ended, waiting for the first.

    Parameters
    ----------
    descriptors
        Of any number: unlike `select`, this knows no largest.
    timeout_seconds
        How long to wait; for ever if left out.
    """
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return {found for found, _ in poll.poll(None if timeout_seconds is None else timeout_seconds * _MILLISECONDS)}


def read_line(conversation: socket.socket) -> str:
    """Read up to the end of a line, a byte at a time so that what follows stays for the next reader."""
    line = bytearray()
    while (byte := conversation.recv(1)) not in (b"", b"\n"):
        line += byte
    return line.decode()


def read_to_end(conversation: socket.socket) -> bytes:
    """Read until the other side says no more."""
    chunks = []
    while chunk := conversation.recv(1 << 16):
        chunks.append(chunk)
    return b"".join(chunks)
