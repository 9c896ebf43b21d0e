"""Alembic's environment and the revisions, read by `climate_ref_prefect.store.sql.schema_migration`."""
