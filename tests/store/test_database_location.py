import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.store.errors import MissingDriverError, StoreUnavailableError
from climate_ref_prefect.store.sql import engine
from climate_ref_prefect.store.sql.database_location import network_file_system, parse_location, sqlite_url
from climate_ref_prefect.store.sql.sql_store import open_store
from tests.store.example_values import METRICS, OUTPUTS, SERIES, allocate, coordinated

MOUNTS = r"""/dev/sda1 / ext4 rw,relatime 0 0
tmpfs /tmp tmpfs rw 0 0
server:/home /home nfs4 rw,vers=4.2 0 0
10.0.0.1@tcp:/scratch /scratch lustre rw,flock 0 0
gpfs01 /gpfs/fs\040one gpfs rw 0 0
//server/share /mnt/share cifs rw 0 0
beegfs_nodev /beegfs beegfs rw 0 0
me@host:/ /home/me/remote fuse.sshfs rw 0 0
/dev/sdb1 /scratch/local xfs rw 0 0
server:/old /covered nfs rw 0 0
/dev/sdc1 /covered ext4 rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/var/lib/store.db", None),
        ("/tmp/store.db", None),
        ("/home/me/store.db", "nfs4"),
        ("/homes/me/store.db", None),
        ("/scratch/me/store.db", "lustre"),
        ("/scratch/local/store.db", None),
        ("/gpfs/fs one/store.db", "gpfs"),
        ("/mnt/share/store.db", "cifs"),
        ("/beegfs/store.db", "beegfs"),
        ("/home/me/remote/store.db", "fuse.sshfs"),
        ("/covered/store.db", None),
    ],
)
def test_a_network_file_system_is_found_by_the_longest_and_latest_mount(path: str, expected: str | None) -> None:
    assert network_file_system(Path(path), MOUNTS) == expected


def test_without_a_list_of_mounts_every_file_system_counts_as_local() -> None:
    assert network_file_system(Path("/home/me"), "") is None


@pytest.mark.parametrize(("kind", "journal", "synchronous"), [("ext4", "wal", 1), ("nfs4", "delete", 2)])
def test_sqlite_keeps_a_write_ahead_log_but_on_a_network_file_system_a_rollback_journal(
    sqlite_path_url: str, monkeypatch: pytest.MonkeyPatch, kind: str, journal: str, synchronous: int
) -> None:
    monkeypatch.setattr(engine, "read_mounts", lambda: f"somewhere / {kind} rw 0 0\n")
    with coordinated(sqlite_path_url) as store:
        allocate(store)
        with store._engine.connect() as connection:
            pragmas = ("journal_mode", "synchronous", "foreign_keys")
            found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in pragmas]
    assert found == [journal, synchronous, 1]


@pytest.mark.parametrize("url", ["mysql://me:secret@host/db", "secret", "", "sqlite+aiosqlite:///x.db", "duckdb:///x"])
def test_any_other_url_is_refused_with_the_valid_ones_and_without_its_password(url: str) -> None:
    with pytest.raises(BadInputError, match=r"sqlite:///.*postgresql://") as refused:
        open_store(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///x.db?mode=ro"])
def test_an_sqlite_url_that_names_no_plain_file_is_refused(url: str) -> None:
    with pytest.raises(BadInputError, match="Valid"):
        open_store(url)


def test_a_relative_path_stays_the_same_file_when_the_directory_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert parse_location("sqlite:///state/x.db").database == str(tmp_path / "state" / "x.db")


@pytest.mark.parametrize("name", ["plain.db", "with blank.db", "100%.db", "ä.db", "a+b#c.db"])
def test_any_file_name_can_be_made_a_url(tmp_path: Path, name: str) -> None:
    with open_store(sqlite_url(tmp_path / name)) as store:
        assert store.name == str(tmp_path / name)
    assert (tmp_path / name).exists()


def _below_a_file(tmp_path: Path) -> Path:
    (tmp_path / "file").write_text("")
    return tmp_path / "file" / "store.db"


def _below_a_file_deeper(tmp_path: Path) -> Path:
    return _below_a_file(tmp_path).parent / "more" / "store.db"


def _a_directory(tmp_path: Path) -> Path:
    (tmp_path / "store.db").mkdir()
    return tmp_path / "store.db"


def _no_database(tmp_path: Path) -> Path:
    (tmp_path / "store.db").write_text("Dear diary, " * 1000)
    return tmp_path / "store.db"


def _where_nothing_can_be_made(tmp_path: Path) -> Path:
    return Path("/proc/store.db")


@pytest.mark.parametrize(
    "place", [_below_a_file, _below_a_file_deeper, _a_directory, _no_database, _where_nothing_can_be_made]
)
def test_a_path_that_cannot_hold_a_database_is_refused_with_a_message_even_for_root(
    tmp_path: Path, place: Callable[[Path], Path]
) -> None:
    path = place(tmp_path)
    with pytest.raises(BadInputError, match=r"The database .*store\.db") as refused:
        open_store(sqlite_url(path))
    assert "[SQL" not in str(refused.value)
    assert "sqlite3" not in str(refused.value)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    directory = tmp_path / "disk"
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(directory)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"mounting is not permitted here: {mounted.stderr.strip()}")
    yield directory
    subprocess.run(["umount", str(directory)], check=True)


def test_a_read_only_file_system_is_refused_with_a_message(small_disk: Path) -> None:
    open_store(sqlite_url(small_disk / "store.db")).close()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for path in (small_disk / "store.db", small_disk / "new.db", small_disk / "new" / "store.db"):
        with pytest.raises(BadInputError, match=r"read-only|Read-only"):
            open_store(sqlite_url(path))


def test_a_full_disk_is_reported_and_leaves_the_database_intact(small_disk: Path) -> None:
    with coordinated(sqlite_url(small_disk / "store.db")) as store:
        number = allocate(store).execution_id
        filler = small_disk / "filler"
        with pytest.raises(OSError, match="No space"):
            filler.write_bytes(b"x" * 4 * 1024 * 1024)
        series = [one.model_copy(update={"index_name": f"i{n}"}) for n in range(2000) for one in SERIES[:1]]
        with pytest.raises(StoreUnavailableError, match="full"):
            store.ingest(number, OUTPUTS, METRICS, series)
        assert store.scalars([number]) == ()
        filler.unlink()
        store.ingest(number, OUTPUTS, METRICS, SERIES)
        assert len(store.scalars([number])) == 3
    with sqlite3.connect(small_disk / "store.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


def test_a_database_that_another_process_keeps_locked_is_reported(
    sqlite_path_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_SECONDS", 0.2)
    with coordinated(sqlite_path_url) as store:
        other = sqlite3.connect(store.name, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailableError, match="locked"):
            allocate(store)
        assert store.counts().groups == 0
        other.execute("ROLLBACK")
        other.close()
        allocate(store)


def test_opening_a_database_twice_in_a_process_does_not_drop_its_locks(sqlite_path_url: str) -> None:
    with coordinated(sqlite_path_url) as store, store._writing() as connection:
        connection.exec_driver_sql("UPDATE execution_group SET dirty = 0")
        open_store(sqlite_path_url).close()
        program = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')"
        tried = subprocess.run([sys.executable, "-c", program, store.name], capture_output=True, text=True, check=False)
    assert "locked" in tried.stderr


def test_a_server_that_does_not_answer_is_reported_without_the_password() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"postgresql://me:hunter2@127.0.0.1:{unused.getsockname()[1]}/db"
        with pytest.raises(StoreUnavailableError, match="refused") as failed:
            open_store(url)
    assert "hunter2" not in str(failed.value)


def test_a_wrong_password_is_reported_and_not_shown(postgres_url: str) -> None:
    before, _, after = postgres_url.rpartition("@")
    wrong = f"{before.rpartition(':')[0]}:hunter2@{after}"
    with pytest.raises(StoreUnavailableError, match="password authentication failed") as failed:
        open_store(wrong)
    assert "hunter2" not in str(failed.value)


def test_the_name_of_a_database_never_has_its_password(postgres_url: str) -> None:
    with open_store(f"{postgres_url}?options=-c%20work_mem%3D8MB") as store:
        assert store.name.startswith("postgresql://tests@127.0.0.1:")
        assert "?" not in store.name


def test_the_short_form_of_a_postgresql_url_is_accepted(postgres_url: str) -> None:
    open_store(postgres_url.replace("postgresql+psycopg", "postgresql")).close()


def test_without_psycopg_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingDriverError, match=r"pip install climate-ref-prefect\[postgres\]"):
        open_store("postgresql://host/db")


def test_the_directory_of_a_new_database_is_open_to_its_owner_alone(sqlite_path_url: str) -> None:
    with open_store(sqlite_path_url) as store:
        assert Path(store.name).parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("password", ["p#s", "p/s", "p?s", "p%s", "p:s", "p[s", "p s", "p\u00e9", "p$s{}'"])
def test_a_password_may_have_any_character(password: str) -> None:
    url = parse_location(f"postgresql://user:{password}@host/name")
    assert (url.password, url.host, url.database) == (password, "host", "name")


def test_but_an_at_sign_is_written_in_hexadecimal_and_what_follows_it_is_not_shown() -> None:
    assert parse_location("postgresql://user:p%40s3cr3t@host/name").password == "p@s3cr3t"
    with pytest.raises(BadInputError, match="%40") as refused:
        parse_location("postgresql://user:p@s3cr3t@host/name")
    assert "s3cr3t" not in str(refused.value)
