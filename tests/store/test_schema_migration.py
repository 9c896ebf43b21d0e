import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, inspect, text

from climate_ref_prefect.store.errors import SchemaOutdatedError, SchemaUnknownError
from climate_ref_prefect.store.sql import schema_migration, schema_revision
from climate_ref_prefect.store.sql.database_location import parse_location
from climate_ref_prefect.store.sql.engine import build_engine
from climate_ref_prefect.store.sql.sql_store import open_store
from climate_ref_prefect.store.sql.table_models import Base
from climate_ref_prefect.store.sql.write_migration import write_revision
from tests.store.example_values import METRICS, OUTPUTS, SERIES, allocate, coordinated, definition, success

LATER_REVISION = """
import sqlalchemy as sa
from alembic import op

revision = "later"
down_revision = "{head}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("execution_group") as table:
        table.add_column(sa.Column("note", sa.Text(), nullable=False, server_default="kept"))
        table.alter_column("selectors", existing_type=sa.JSON(), nullable=True)


def downgrade() -> None:
    with op.batch_alter_table("execution_group") as table:
        table.drop_column("note")
        table.alter_column("selectors", existing_type=sa.JSON(), nullable=False)
"""


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """For looking behind the store's back, and for migrating."""
    built = build_engine(parse_location(database_url), foreign_keys=False)
    yield built
    built.dispose()


@pytest.fixture
def later_version(tmp_path: Path) -> Path:
    """The migrations of a version to come: it rebuilds a table that others refer to."""
    scripts = tmp_path / "later 100%" / "migrations"
    shutil.copytree(schema_revision.SCRIPTS, scripts, ignore=shutil.ignore_patterns("__pycache__"))
    (scripts / "versions" / "later.py").write_text(LATER_REVISION.format(head=schema_revision.head_revision()))
    return scripts


def test_an_empty_database_gets_its_tables_when_opened(database_url: str, engine: Engine) -> None:
    open_store(database_url).close()
    assert set(inspect(engine).get_table_names()) == {*Base.metadata.tables, schema_revision.VERSION_TABLE}


def test_the_migrations_make_what_the_models_say(database_url: str, engine: Engine) -> None:
    schema_migration.upgrade_database(database_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": schema_revision.VERSION_TABLE})
        assert compare_metadata(context, Base.metadata) == []


def test_constraints_bear_the_names_that_the_convention_gives(database_url: str, engine: Engine) -> None:
    open_store(database_url).close()
    inspector = inspect(engine)
    for table in Base.metadata.tables:
        names = [inspector.get_pk_constraint(table)["name"]]
        names += [one["name"] for one in inspector.get_foreign_keys(table)]
        names += [one["name"] for one in inspector.get_unique_constraints(table)]
        names += [one["name"] for one in inspector.get_check_constraints(table)]
        assert all(name and name[:3] in {"pk_", "fk_", "uq_", "ck_"} for name in names), (table, names)


def test_the_migrations_have_a_single_head() -> None:
    assert len(ScriptDirectory.from_config(schema_migration.migration_config()).get_heads()) == 1


def test_the_revisions_are_read_as_alembic_reads_them(later_version: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for scripts in (schema_revision.SCRIPTS, later_version):
        monkeypatch.setattr(schema_revision, "SCRIPTS", scripts)
        directory = ScriptDirectory.from_config(schema_migration.migration_config())
        assert list(schema_revision.revisions()) == [script.revision for script in directory.walk_revisions()]


def test_a_database_can_go_down_to_nothing_and_up_again_with_data_in_it(database_url: str, engine: Engine) -> None:
    with coordinated(database_url) as store:
        store.ingest(allocate(store).execution_id, OUTPUTS, METRICS, SERIES)
    assert schema_migration.migrate(engine, schema_migration.BASE) == schema_migration.BASE
    assert set(inspect(engine).get_table_names()) == {schema_revision.VERSION_TABLE}
    assert schema_migration.upgrade_database(database_url) == schema_revision.head_revision()
    with coordinated(database_url) as store:
        allocate(store)
        assert store.counts().groups == 1


def test_upgrading_twice_reaches_the_same_revision(database_url: str) -> None:
    assert schema_migration.upgrade_database(database_url) == schema_migration.upgrade_database(database_url)


def test_an_older_schema_is_refused_with_the_command_to_run(
    database_url: str, later_version: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store(database_url).close()
    head = schema_revision.head_revision()
    monkeypatch.setattr(schema_revision, "SCRIPTS", later_version)
    with pytest.raises(SchemaOutdatedError, match=rf"{head}.*later.*`climate-ref-prefect db upgrade`"):
        open_store(database_url)


def test_an_upgrade_keeps_what_was_recorded(
    database_url: str, engine: Engine, later_version: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with coordinated(database_url) as store:
        number = allocate(store).execution_id
        store.ingest(number, OUTPUTS, METRICS, SERIES)
        store.finalise(number, success())
        before = (store.executions(), store.scalars([number]))
    monkeypatch.setattr(schema_revision, "SCRIPTS", later_version)
    assert schema_migration.upgrade_database(database_url) == "later"
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT note FROM execution_group")) == "kept"
    with coordinated(database_url) as store:
        assert (store.executions(), store.scalars([number])) == before


def test_a_newer_schema_is_refused_naming_both_revisions(
    database_url: str, later_version: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(schema_revision, "SCRIPTS", later_version)
        schema_migration.upgrade_database(database_url)
    for use in (open_store, schema_migration.upgrade_database):
        with pytest.raises(SchemaUnknownError, match=rf"revision later.*newest is {schema_revision.head_revision()}"):
            use(database_url)


def test_a_migration_that_fails_leaves_the_database_as_it_was(
    database_url: str, engine: Engine, later_version: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store(database_url).close()
    broken = (later_version / "versions" / "later.py").read_text()
    broken = broken.replace("\n\ndef downgrade", '    op.execute("SELECT * FROM nowhere")\n\n\ndef downgrade')
    (later_version / "versions" / "later.py").write_text(broken)
    with monkeypatch.context() as patched:
        patched.setattr(schema_revision, "SCRIPTS", later_version)
        with pytest.raises(Exception, match="nowhere"):
            schema_migration.upgrade_database(database_url)
    assert "note" not in {column["name"] for column in inspect(engine).get_columns("execution_group")}
    with coordinated(database_url) as store:
        allocate(store)


def test_a_database_with_tables_of_another_program_is_refused_and_left_alone(database_url: str, engine: Engine) -> None:
    if engine.dialect.name == "sqlite":
        Path(str(engine.url.database)).parent.mkdir()
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE execution (id INTEGER)"))
    for use in (open_store, schema_migration.upgrade_database):
        with pytest.raises(SchemaUnknownError, match=r"another program made \(execution\)"):
            use(database_url)
    assert inspect(engine).get_table_names() == ["execution"]


def test_processes_that_open_the_same_empty_database_at_once_all_succeed(database_url: str) -> None:
    script = (
        "import sys; from climate_ref_prefect.store.sql.sql_store import open_store\n"
        "print('ready', flush=True); input()\n"
        "with open_store(sys.argv[1]) as store: assert store.counts().groups == 0"
    )
    command = [sys.executable, "-c", script, database_url]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=60)
    assert [process.returncode for process in processes] == [0, 0, 0, 0]


def test_a_revision_is_written_from_what_the_models_lack(later_version: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (later_version / "versions" / "later.py").unlink()
    write_revision("nothing new", later_version)
    (written,) = (later_version / "versions").glob("0003_*.py")
    assert '"""nothing new."""' in written.read_text()
    compile(written.read_text(), str(written), "exec")


def test_definitions_of_one_group_share_its_row(database_url: str) -> None:
    with coordinated(database_url) as store:
        allocate(store, definition("a"))
        allocate(store, definition("a", version="2"))
        assert store.counts().groups == 1
