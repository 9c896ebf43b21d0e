"""Check that the file of an open SQLite database is still the one that its path names."""

from pathlib import Path

from climate_ref_prefect.store.errors import StoreUnavailableError


class DatabaseFile:
    """
    Finds out whether an open file is still the one that its path names.

    SQLite does not check this: what it writes to a removed or replaced file is lost without an error.

    Parameters
    ----------
    path
        Path of the file, which need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened: tuple[int, int] | None = None

    def remember(self) -> None:
        """Remember the file at the path as the one that was opened, unless one is remembered already."""
        if self._opened is None:
            self._opened = self._found()

    def check(self) -> None:
        """
        Check that the opened file is still there. Does nothing before a file was opened.

        Raises
        ------
        StoreUnavailableError
            If it is gone, or another file has its name.
        """
        if self._opened is None:
            return
        found = self._found()
        if found != self._opened:
            reason = "another file has been put in its place" if found else "its file is gone"
            raise StoreUnavailableError(
                f"The database {self._path} is not available: {reason}. Move the one back that was in use."
            )

    def _found(self) -> tuple[int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino
