"""How a caller and the warm server of a provider speak: one byte a request, then a socket for each."""

import socket
from typing import Final

EXECUTE: Final = b"E"
"""Run an execution: the caller says the directory in a line, the answer is the outcome."""
DESCRIBE: Final = b"D"
"""Describe the provider."""
SIZES: Final = b"S"
"""Ask the diagnostics for the resources of some definitions."""


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
