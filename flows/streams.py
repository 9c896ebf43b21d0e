"""Standard streams that are absent, closed or of a small encoding: nothing of that is a failure of the command."""

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
"""Nobody reads any more: a pipe whose reader has ended, a terminal that is gone."""


class _Output(io.FileIO):
    """Writes to a standard stream for as long as it takes anything, and to nowhere from then on."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.trouble: OSError | None = None
        """Why something that somebody waits for could not be written: a disk that is full."""

    def write(self, data: "ReadableBuffer", /) -> int:
        """Write all or some of it; never fails."""
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
            select.select([], [self], [])  # somebody has made it non-blocking

    def _go_nowhere(self) -> None:
        """Have the descriptor lead nowhere, for whoever else writes to it, too."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)


@contextmanager
def lasting_streams() -> Iterator[None]:
    """
    Have stdout and stderr take whatever is printed, until the context ends.

    A stream that is absent (`>&-`, a daemon) leads nowhere, and its number is taken: the next file that is opened
    would get it otherwise, and what is printed would go into a database. A stream that is closed meanwhile
    (`| head`) leads nowhere from then on. What the encoding of a stream does not have is printed as an escape.

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
        if not text.closed:  # a diagnostic that runs in this process may have closed it
            text.flush()


def _take_missing_descriptors() -> None:
    for number in _STANDARD:
        try:
            os.fstat(number)
        except OSError:
            taken = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, and so this one
            os.set_inheritable(taken, True)


def _text(output: _Output, stream: TextIO | None) -> io.TextIOWrapper:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return io.TextIOWrapper(
        io.BufferedWriter(output), encoding=encoding, errors="backslashreplace", line_buffering=True
    )
