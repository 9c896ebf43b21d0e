"""The servers that these tests share."""

from tests.postgres import postgres_server
from tests.prefect_server import prefect_server

__all__ = ["postgres_server", "prefect_server"]
