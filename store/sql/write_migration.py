"""
Write a revision from what the models have and the migrations lack.

Run it in a checkout as `python -m climate_ref_prefect.store.sql.write_migration "add a column"`, then read the
revision.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from alembic import command

from climate_ref_prefect.store.sql import schema_migration
from climate_ref_prefect.store.sql.database_location import parse_location, sqlite_url
from climate_ref_prefect.store.sql.engine import build_engine, writer


def write_revision(message: str, scripts: Path) -> None:
    """
    Write a revision that takes the newest schema to that of the models.

    Parameters
    ----------
    message
        What the revision does, in a few words.
    scripts
        Directory of the migrations.
    """
    config = schema_migration.migration_config(scripts)
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    number = f"{len(list((scripts / 'versions').glob('[0-9]*.py'))) + 1:04}"
    with TemporaryDirectory() as directory:
        url = sqlite_url(Path(directory) / "newest.db")
        schema_migration.upgrade_database(url)
        engine = build_engine(parse_location(url), foreign_keys=False)
        with writer(engine).begin() as connection:
            config.attributes["connection"] = connection
            command.revision(config, message, autogenerate=True, rev_id=number)
        engine.dispose()


if __name__ == "__main__":
    write_revision(" ".join(sys.argv[1:]), Path(schema_migration.__file__).parent / "migrations")
