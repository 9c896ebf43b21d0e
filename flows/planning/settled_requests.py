"""
Remember which requests had nothing left to run, so that the next solve can guess whether it needs Prefect's server.

It is no more than a guess: planning decides what is run. A wrong one costs the start of a server that is not used, or
a start that begins later than it could.
"""

import hashlib
import json
import logging
import os
from contextlib import suppress
from typing import Final

from climate_ref_prefect import __version__
from climate_ref_prefect.diagnostics.data_catalogue import Catalogue
from climate_ref_prefect.flows.planning.solve_request import SolveRequest
from climate_ref_prefect.flows.settings import Settings

FILE_NAME: Final = "settled-requests.json"
_KEPT: Final = 32
logger = logging.getLogger(__name__)


def is_settled(settings: Settings, request: SolveRequest, catalogue: Catalogue) -> bool:
    """Return whether an earlier solve has left nothing to run of a request, and neither it nor the data has changed."""
    if request.rerun == "all":
        return False
    return _settled(settings).get(_digest_of_request(settings, request)) == _digest_of_data(catalogue)


def remember_settled(settings: Settings, request: SolveRequest, catalogue: Catalogue) -> None:
    """Keep that nothing of a request is left to run. An error is logged, not raised."""
    path = settings.home_directory / FILE_NAME
    digest, data = _digest_of_request(settings, request), _digest_of_data(catalogue)
    settled = _settled(settings)
    if settled.get(digest) == data:
        return
    others = {name: text for name, text in settled.items() if name != digest}
    latest = [*others.items(), (digest, data)][-_KEPT:]
    new = path.with_name(f".{FILE_NAME}-{os.getpid()}")
    try:
        new.write_text(json.dumps(dict(latest)), encoding="utf-8")
        new.replace(path)
    except OSError as error:
        with suppress(OSError):
            new.unlink(missing_ok=True)
        logger.warning("%s cannot be written (%s); the next solve may start Prefect's server needlessly.", path, error)


def _settled(settings: Settings) -> dict[str, str]:
    try:
        known = json.loads((settings.home_directory / FILE_NAME).read_bytes())
    except (OSError, ValueError):  # There is none yet, or a crash of the machine has left a part of it.
        return {}
    return known if isinstance(known, dict) else {}


def _digest_of_request(settings: Settings, request: SolveRequest) -> str:
    asked = [request.data, list(request.providers), request.diagnostics, request.rerun, request.key]
    # As a digest, because the URL of the database may hold a password.
    return hashlib.sha256(repr([__version__, settings.store_url, *asked]).encode()).hexdigest()


def _digest_of_data(catalogue: Catalogue) -> str:
    # Of the directories and not of the data sets, of which few are made where few are wanted.
    parts = (f"{found.directory}\0{found.fingerprint}" for found in catalogue.found)
    return hashlib.sha256(os.fsencode("\n".join([str(catalogue.root), *parts]))).hexdigest()
