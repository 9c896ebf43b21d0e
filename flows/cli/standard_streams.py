"""Make standard streams usable that are absent, closed or of a limited encoding, so that the command does not fail."""

import errno
import io
import os
import select
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_STANDARD: Final = (0, 1, 2)
_CLOSED: Final = (errno.EPIPE, errno.EIO, errno.EBADF, errno.ENXIO)
"""Errors of a stream without a reader: a pipe whose reader has ended, a terminal that is gone."""


class _Output(io.FileIO):
    """Writes to a standard stream until that fails, and discards everything from then on."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.trouble: OSError | None = None
        """The error of output that has a reader and could not be written, for example because of a full disk."""

    def write(self, data: "ReadableBuffer", /) -> int:
        """Write all or some of it. Never raises."""
        while True:
            try:
                written = super().write(data)
            except OSError as error:
                if error.errno not in _CLOSED:
                    self.trouble = error
                self._go_nowhere()
                return memoryview(data).nbytes
            if written is not None:
                return written
            select.select([], [self], [])  # Another process has made it non-blocking.

    def _go_nowhere(self) -> None:
        """Redirect the descriptor to /dev/null, also for other code that writes to it."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)


@contextmanager
def usable_standard_streams() -> Iterator[None]:
    """
    Make stdout and stderr accept everything that is printed, until the context ends.

    An absent stream (`>&-`, a daemon) is redirected to /dev/null. Otherwise the next file that is opened would get its
    number, and output would go into a database. A stream that is closed later (`| head`) is discarded from then on.
    Characters that the encoding of a stream lacks are printed as escapes.

    Raises
    ------
    SystemExit
        With code 1 instead of 0 if stdout is a file on a disk that is full.
    """
    before = sys.stdout, sys.stderr
    _take_missing_descriptors()
    output, errors = _Output(1), _Output(2)
    texts = _text(output, before[0]), _text(errors, before[1])
    sys.stdout, sys.stderr = texts
    try:
        yield
    except SystemExit as ended:
        _flush(texts)
        if output.trouble is not None and not ended.code:
            print(f"climate-ref-prefect: Not all could be printed: {output.trouble.strerror}.", file=sys.stderr)  # noqa: T201
            raise SystemExit(1) from ended
        raise
    finally:
        _flush(texts)
        sys.stdout, sys.stderr = before


def _flush(texts: Iterable[TextIO]) -> None:
    for text in texts:
        if not text.closed:  # A diagnostic that runs in this process may have closed it.
            text.flush()


def _take_missing_descriptors() -> None:
    for number in _STANDARD:
        try:
            os.fstat(number)
        except OSError:
            taken = os.open(os.devnull, os.O_RDWR)  # `open` returns the lowest free number, which is this one.
            os.set_inheritable(taken, True)


def _text(output: _Output, stream: TextIO | None) -> io.TextIOWrapper:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return io.TextIOWrapper(
        io.BufferedWriter(output), encoding=encoding, errors="backslashreplace", line_buffering=True
    )
