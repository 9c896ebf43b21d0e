"""Column types that behave alike on SQLite and PostgreSQL."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Double, Integer, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

JsonObject = dict[str, Any]
JsonList = list[Any]


def clean_text(text: str) -> str:
    """Return a text without NUL, which PostgreSQL cannot store and a program may have printed."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


class CleanText(TypeDecorator[str]):
    """Text of any length, cleaned by `clean_text`."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Clean values before they are stored or compared."""
        return None if value is None else clean_text(value)


class UtcDateTime(TypeDecorator[datetime]):
    """A time in UTC. SQLite stores no time zone, so it is removed and added again here."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a time without a zone, because its meaning would be lost."""
        if value is not None and value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Add the zone, or convert from the zone of the session to UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


BIG_ID: TypeEngine[int] = BigInteger().with_variant(Integer, "sqlite")
"""SQLite counts up by itself only in a column of the exact type INTEGER, which holds 64 bits there."""

COLUMN_TYPES: dict[Any, Any] = {
    str: CleanText,
    datetime: UtcDateTime,
    float: Double,
    # Not JSONB: it refuses an escaped NUL, and nothing here searches inside a document.
    JsonObject: JSON(none_as_null=True),
    JsonList: JSON(none_as_null=True),
}
