"""What `qsub`, `qstat`, `qdel` and `qselect` have in common: hand everything to the server, print what it says."""

import json
import os
import socket
import sys
from pathlib import Path

DIRECTORY = "PBS_EMULATOR_DIRECTORY"
"""Environment variable: where the server has its socket."""
SOCKET = "server.sock"
NAME_FILE = "server_name"
_REFUSED = {
    "qsub": ("qsub: cannot connect to server {server} (errno=15010)\n", 162),
    "qstat": ("qstat: cannot connect to server {server} (errno=15010)\n", 255),
    "qdel": ("Couldn't connect to cluster: {server}\n", 162),
    "qselect": ("qselect: cannot connect to server {server} (errno=15010)\n", 255),
}
_PROTOCOL_ERROR = 183


def main(program: str, arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    if DIRECTORY not in os.environ:
        sys.stderr.write(f"{program}: {DIRECTORY} is not set: use PbsCluster.environment\n")
        return 2
    directory = Path(os.environ[DIRECTORY])
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(directory / SOCKET))
        except OSError:
            words, code = _REFUSED[program]
            sys.stderr.write("Connection refused\n" + words.format(server=(directory / NAME_FILE).read_text()))
            return code
        answer = _ask(connection, program, arguments)
    if not answer:
        sys.stderr.write(f"{program}: Premature end of message\n")
        return _PROTOCOL_ERROR
    reply = json.loads(answer)
    sys.stdout.write(reply["stdout"])
    sys.stderr.write(reply["stderr"])
    return int(reply["code"])


def _ask(connection: socket.socket, program: str, arguments: list[str]) -> bytes:
    request = {
        "program": program,
        "arguments": arguments,
        "directory": _directory(),
        "environment": dict(os.environ),
    }
    try:
        # The server reads a script from standard input, where that is meant: only it understands the options.
        socket.send_fds(connection, [b"i"], [0])
        connection.sendall(json.dumps(request).encode() + b"\n")
        with connection.makefile("rb") as stream:
            return stream.readline()
    except OSError:
        return b""


def _directory() -> str:
    """Return where the command was given, by the name that the shell has for it."""
    named, real = os.environ.get("PWD", ""), str(Path.cwd())
    return named if named.startswith("/") and os.path.realpath(named) == os.path.realpath(real) else real


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
