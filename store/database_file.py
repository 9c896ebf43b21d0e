"""The file of an SQLite database: held to be the same one for as long as it is open."""

from pathlib import Path

from climate_ref_prefect.store.errors import StoreUnavailableError


class DatabaseFile:
    """
    Finds out whether a file that is open is still the one that its path names.

    SQLite does not: what is written to a file that was removed or replaced is lost without an error.

    Parameters
    ----------
    path
        Where it is, or will be made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened: tuple[int, int] | None = None

    def remember(self) -> None:
        """Take the file that is there for the one that was opened, unless that is known."""
        if self._opened is None:
            self._opened = self._found()

    def check(self) -> None:
        """
        Hold that the file that was opened is still there; does nothing before one was.

        Raises
        ------
        StoreUnavailableError
            If it is gone, or another one has its name.
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
