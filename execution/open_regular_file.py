"""Open a file that a diagnostic may have replaced: only a regular file, never through a link."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO, Final

# A FIFO without a writer would keep `open` waiting for ever, and a terminal would become that of this process.
_READING: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class NotARegularFileError(OSError):
    """A path leads to a link, a directory, a device or a FIFO instead of a regular file."""

    def __init__(self, path: Path | str) -> None:
        super().__init__(errno.EINVAL, "it is a link, a directory or a device, not a file", str(path))


def open_regular(path: Path | str, directory: int | None = None) -> BinaryIO:
    """
    Open a regular file for reading, without following a link in its last component.

    Parameters
    ----------
    path
        The file.
    directory
        Descriptor of the directory that a relative path starts from; None for the current directory.

    Raises
    ------
    NotARegularFileError
        If the path leads to something else.
    """
    try:
        descriptor = os.open(path, _READING, dir_fd=directory)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # A link, a socket, or a device without a driver.
            raise NotARegularFileError(path) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotARegularFileError(path)
    return open(descriptor, "rb", buffering=0)  # noqa: PTH123 - the caller closes it; a descriptor is no path
