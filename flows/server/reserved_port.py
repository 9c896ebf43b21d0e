"""A port for a server that is about to start, which no other program can take meanwhile."""

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from climate_ref_prefect.flows.server.server_description import ServerError


@contextmanager
def reserved_port(port: int) -> Iterator[tuple[int, list[int]]]:
    """Choose a port if none is given, and keep other programs from it by a socket that the server's parent holds."""
    with socket.socket() as place:
        if port:  # It may be that of a server that has just ended.
            place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            place.bind(("127.0.0.1", port))
        except OSError as error:
            raise ServerError(f"Port {port} is in use: {error.strerror}.") from error
        chosen = place.getsockname()[1]
        if sys.platform == "linux":
            place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # The server, which does so, can bind, too.
            yield chosen, [place.fileno()]
            return
    yield chosen, []  # Elsewhere no two sockets can be bound to one port.
