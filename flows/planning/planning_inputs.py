"""What planning reads of data and providers, kept so that one solve reads each of it once."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from climate_ref_prefect.diagnostics.data_catalogue import Catalogue, scan
from climate_ref_prefect.execution.worker.execute import ServerPool
from climate_ref_prefect.flows.planning.catalogue_file import open_catalogue_file
from climate_ref_prefect.flows.planning.pause_garbage_collection import garbage_collection_paused


class PlanningInputs:
    """The catalogues of directories, and the servers of providers that have been imported."""

    def __init__(self) -> None:
        self.servers = ServerPool()
        self._catalogues: dict[Path, Catalogue] = {}

    def catalogue(self, directory: Path, home: Path, *, rescan: bool = False) -> Catalogue:
        """
        Return the data sets below a directory, which is read at the first call.

        Parameters
        ----------
        directory
            The data directory.
        home
            The state directory, where the catalogue file is.
        rescan
            Whether to forget what earlier solves have found.

        Raises
        ------
        BadInputError
            As `scan`.
        """
        if directory not in self._catalogues:
            # Not resolve(), which would replace the links in the user's paths.
            root = Path(os.path.abspath(directory))  # noqa: PTH100
            with garbage_collection_paused(), open_catalogue_file(home, root, rescan=rescan) as listings:
                self._catalogues[directory] = scan(root, listings)
        return self._catalogues[directory]

    def close(self) -> None:
        """End the servers."""
        self.servers.close()


_current: ContextVar[PlanningInputs | None] = ContextVar("planning_inputs", default=None)


@contextmanager
def planning_inputs() -> Iterator[PlanningInputs]:
    """
    Give what planning reads. Within another context of this kind it is the same, and stays open.

    The command plans before it starts Prefect, and the flow plans again once it alone may write to the database: what
    has been tried may have changed, data and providers are not read twice.
    """
    present = _current.get()
    if present is not None:
        yield present
        return
    inputs = PlanningInputs()
    token = _current.set(inputs)
    try:
        yield inputs
    finally:
        _current.reset(token)
        inputs.close()
