"""The database server that these tests share."""

from tests.postgres import postgres_server

__all__ = ["postgres_server"]
