"""The protocol between a provider server and its client: one byte per request, then a socket for each request."""

import select
import socket
from collections.abc import Iterable
from typing import Final

from climate_ref_prefect.diagnostics.base_models import FrozenModel
from climate_ref_prefect.execution.outcome import ExecutionFailure

EXECUTE: Final = b"E"
"""Run an execution: the caller sends the directory in a line, the answer is the outcome."""
DESCRIBE: Final = b"D"
"""Describe the provider."""
SIZES: Final = b"S"
"""Ask the diagnostics for the resources that some definitions need."""
CANCEL: Final = b"cancel\n"
"""A caller sends this to cancel an execution."""
END: Final = b"ending\n"
"""A caller sends this when the scheduler is about to end its job."""

_MILLISECONDS: Final = 1000


class Ready(FrozenModel):
    """What a server sends, in one line, once it has imported and warmed up its provider or failed to."""

    failure: ExecutionFailure | None = None
    obstacles: tuple[str, ...] = ()
    """The reasons why executions start in new interpreters although they should be forked."""


def wait_for_input(descriptors: Iterable[int], timeout_seconds: float | None = None) -> set[int]:
    """
    Wait until one of some descriptors can be read or has ended, and return all for which that is so.

    Parameters
    ----------
    descriptors
        Descriptors of any number: unlike `select`, this function has no upper limit.
    timeout_seconds
        How long to wait; without it, for ever.
    """
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return {found for found, _ in poll.poll(None if timeout_seconds is None else timeout_seconds * _MILLISECONDS)}


def read_line(conversation: socket.socket) -> str:
    """Read up to the end of a line, and no further, so that the next reader gets what follows it."""
    line = bytearray()
    while not line.endswith(b"\n") and (waiting := conversation.recv(1 << 12, socket.MSG_PEEK)):
        line += conversation.recv(waiting.find(b"\n") + 1 or len(waiting))
    return line.decode().removesuffix("\n")


def read_to_end(conversation: socket.socket) -> bytes:
    """Read until the other side has closed its end."""
    chunks = []
    while chunk := conversation.recv(1 << 16):
        chunks.append(chunk)
    return b"".join(chunks)
