"""The settings of a local Prefect server, with which its record of task runs is complete."""

import os
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final

from climate_ref_prefect.execution.host.environment_variables import environment_of_prefect_server
from climate_ref_prefect.flows.server.database_template import DATABASE_URL, database_url

_INTERACTIVE_LIFETIME_SECONDS: Final = 300.0
SERVER_SETTINGS: Final[Mapping[str, str]] = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "500",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "500",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_ENABLED": "false",
    "PREFECT_SERVER_UI_API_URL": "/api",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
}
"""
Settings with which a server records thousands of task runs. docs/how-to/prefect-server.md gives the reasons.

Triggers and the event persister stand for automations and the event feed, which compete for the same queue. The
address of the API is relative, because Prefect's default is port 4200 whatever port the server has. The flush interval
is in whole seconds: Prefect cuts off a fraction, and with 0 an idle server takes half a processor.
"""


def server_lifetime_seconds(lifetime: timedelta | None) -> float:
    """Return how long a server stays unused: what the settings say, else a while for a person at a terminal."""
    if lifetime is not None:
        return lifetime.total_seconds()
    return _INTERACTIVE_LIFETIME_SECONDS if os.isatty(0) or "ipykernel" in sys.modules else 0.0


def server_environment(directory: Path, password: str | None = None) -> dict[str, str]:
    """
    Return the environment of the Prefect server that keeps its files in a directory.

    Parameters
    ----------
    directory
        Where it keeps its files.
    password
        What it asks for; None for what the environment of this process says.
    """
    own = {} if password is None else {"PREFECT_SERVER_API_AUTH_STRING": password}
    # A database that the user has set is kept.
    database = os.environ.get(DATABASE_URL) or database_url(directory)
    settings = {**SERVER_SETTINGS, **own, "PREFECT_HOME": str(directory), DATABASE_URL: database}
    return environment_of_prefect_server(settings)
