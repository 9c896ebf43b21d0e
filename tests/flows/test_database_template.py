"""The migrated database with which a Prefect server begins: it is made once, and no fault of it is a solve's fault."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from climate_ref_prefect.execution.host.process_identity import process_start
from climate_ref_prefect.flows.server.database_template import (
    DATABASE_URL,
    cache_directory,
    database_url,
    make_database,
)
from climate_ref_prefect.testing.processes import Process, wait_until

_PREFECT = """
import os, pathlib, sqlite3, time
connection = sqlite3.connect(pathlib.Path(os.environ["PREFECT_HOME"], "prefect.db"))
connection.execute("CREATE TABLE alembic_version AS SELECT 'made' AS version_num")
connection.commit()
if note := os.environ.get("NOTE"):
    pathlib.Path(note).write_text(str(os.getpid()))
    time.sleep(3600)
"""
"""What takes the place of Prefect's migrations, which take half a minute; with NOTE it says its pid, and never ends."""
_MAKER = """
import os, pathlib, sys
from climate_ref_prefect.flows.server.database_template import make_database
make_database(pathlib.Path(sys.argv[1]), os.environ)
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache directory of the test's own, which is not there yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return cache_directory()


def make(home: Path, **variables: str) -> Path:
    """Make the database of a state directory, and return it."""
    home.mkdir(exist_ok=True)
    make_database(home, {**os.environ, DATABASE_URL: database_url(home), **variables})
    return home / "prefect.db"


@pytest.fixture
def quick(tmp_path: Path) -> dict[str, str]:
    """Variables with which the migrations are quick."""
    package = tmp_path / "quick" / "prefect"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(_PREFECT, encoding="utf-8")
    return {"PYTHONPATH": str(package.parent)}


def revision(database: Path) -> str:
    with closing(sqlite3.connect(database)) as connection:
        (found,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(found)


@pytest.mark.slow
def test_it_is_made_once_for_all_that_begin_at_once_and_mended_when_it_is_broken(tmp_path: Path, cache: Path) -> None:
    threads = [threading.Thread(target=make, args=(tmp_path / name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (template,) = cache.glob("*.db")
    made = template.stat().st_ino
    assert revision(make(tmp_path / "c")) == revision(tmp_path / "a" / "prefect.db") == revision(template)
    assert template.stat().st_ino == made
    assert {path.name for path in (tmp_path / "c").iterdir()} == {"prefect.db"}
    with template.open("r+b") as file:
        file.truncate(50_000)
    assert revision(make(tmp_path / "d")) == revision(template)


def test_what_is_left_of_an_earlier_database_is_not_applied_to_it(tmp_path: Path, quick: dict[str, str]) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with closing(sqlite3.connect(home / "prefect.db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE earlier AS SELECT 1 AS number")
        connection.commit()
        shutil.copyfile(home / "prefect.db-wal", tmp_path / "wal")
    (home / "prefect.db").unlink()
    (tmp_path / "wal").rename(home / "prefect.db-wal")
    for ending in ("shm", "journal"):
        (home / f"prefect.db-{ending}").write_text("left", encoding="utf-8")
    database = make(home, **quick)
    assert [path.name for path in home.iterdir()] == ["prefect.db"]
    assert revision(database) == "made"


def test_a_maker_that_is_killed_leaves_no_process_and_its_files_go_with_the_next(
    tmp_path: Path, cache: Path, quick: dict[str, str]
) -> None:
    note, home = tmp_path / "note", tmp_path / "home"
    home.mkdir()
    variables = {**os.environ, DATABASE_URL: database_url(home), **quick, "NOTE": str(note)}
    with subprocess.Popen([sys.executable, "-c", _MAKER, str(home)], env=variables) as maker:
        try:
            pid = int(wait_until(lambda: note.read_text(encoding="utf-8") if note.exists() else None))
            migrations = Process(pid, process_start(pid) or "")
        finally:
            maker.send_signal(signal.SIGKILL)
    wait_until(lambda: not migrations.alive)
    assert len([path for path in cache.iterdir() if path.is_dir()]) == 1
    assert revision(make(home, **quick)) == "made"
    assert not [path for path in cache.iterdir() if path.is_dir()]


def test_where_it_cannot_be_kept_the_server_migrates_by_itself(
    tmp_path: Path, cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    cache.parent.write_text("no directory", encoding="utf-8")
    assert not make(tmp_path / "a").exists()
    assert "migrates its database by itself" in capfd.readouterr().err


def test_a_database_that_is_there_or_elsewhere_is_left_alone(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "prefect.db").write_text("a person's", encoding="utf-8")
    make_database(tmp_path, {DATABASE_URL: database_url(tmp_path)})
    assert (tmp_path / "prefect.db").read_text(encoding="utf-8") == "a person's"
    make_database(tmp_path / "other", {DATABASE_URL: "postgresql+asyncpg://somewhere/prefect"})
    assert not cache.exists()
