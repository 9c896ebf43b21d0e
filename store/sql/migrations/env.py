"""Run by Alembic: migrates the connection that `climate_ref_prefect.store.sql.schema_migration` hands over."""

from typing import Any, Literal

from alembic import context

from climate_ref_prefect.store.sql.column_types import CleanText, UtcDateTime
from climate_ref_prefect.store.sql.schema_revision import VERSION_TABLE
from climate_ref_prefect.store.sql.table_models import Base


def render_item(kind: str, item: Any, _context: object) -> str | Literal[False]:
    """Write plain types into a revision: it must not change when the models' own types do."""
    if kind == "type" and isinstance(item, CleanText):
        return "sa.Text()"
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    render_item=render_item,
    # SQLite alters a table by making a new one.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
