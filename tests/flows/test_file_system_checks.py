"""File systems that lack a feature are reported in a line before anything runs, or work nevertheless."""

import errno
import os
from pathlib import Path

import pytest

from climate_ref_prefect.flows.settings import Settings
from climate_ref_prefect.store.sql.database_location import parse_location
from tests.failing_system_calls import failing
from tests.flows.coordinator_processes import command, run_command
from tests.flows.temporary_site import PROVIDER, Site

SILENT = {"PREFECT_API_URL": "http://127.0.0.1:9/api"}
"""A server that does not answer: it must not be asked."""


def options(site: Site) -> list[str]:
    return ["--data", str(site.data), "--provider", PROVIDER, "--diagnostic", "good"]


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_state_directory_without_file_locks_is_refused_in_a_line(site: Site, number: int) -> None:
    site.add_models("ModelA")
    ended = run_command("solve", *options(site), more={**SILENT, **failing(site.home, flock=number)})
    assert ended.code == 2, ended.errors
    (line,) = ended.errors.splitlines()
    for words in (str(site.home), os.strerror(number), "CLIMATE_REF_PREFECT_HOME"):
        assert words in line


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP])
def test_scratch_without_hard_links_is_refused_in_a_line(site: Site, number: int) -> None:
    site.add_models("ModelA")
    ended = run_command("solve", *options(site), more={**SILENT, **failing(site.home, link=number)})
    assert ended.code == 2, ended.errors
    (line,) = ended.errors.splitlines()
    for words in (str(site.home / "scratch"), os.strerror(number), "CLIMATE_REF_PREFECT_SCRATCH"):
        assert words in line


def test_the_doctor_says_so_too(site: Site) -> None:
    more = failing(site.home.parent, flock=errno.ENOSYS, link=errno.EPERM)
    ended = run_command("doctor", "--transport", "local", "--provider", PROVIDER, more=more)
    assert ended.code == 1
    assert "has no file locks" in ended.output
    assert "has no hard links" in ended.output
    assert not site.home.exists()


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("number", [errno.EINVAL, errno.EOPNOTSUPP])
def test_directories_that_cannot_be_forced_to_disk_are_no_failure(site: Site, number: int) -> None:
    site.add_models("ModelA")
    ended = run_command("solve", *options(site), more=failing(site.home, directory_fsync=number))
    assert ended.code == 0, ended.output + ended.errors
    assert "1 succeeded, 0 failed" in ended.output


ODD_NAMES = [
    *("a b", "a?b", "a#b", "a%20b", "100%", "it's", '"quoted"', "[bold]", "{x}", "$HOME", "-x", "a@b:c", "é\n"),
    "a?mode=ro",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_state_directory_of_any_name_has_its_database_in_it(tmp_path: Path, name: str) -> None:
    settings = Settings(home=tmp_path / name)
    assert parse_location(settings.store_url).database == str(tmp_path / name / "climate-ref-prefect.db")


@pytest.mark.slow
def test_a_solve_with_its_own_server_below_a_directory_of_an_odd_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(tmp_path / 'it\'s [bold] 100%20 é $HOME {x} "y"?#', monkeypatch)
    site.add_models("ModelA")
    with command(site, "solve", *options(site), without=("PREFECT_API_URL",)) as solve:
        assert solve.wait(180) == 0, solve.said
    assert "1 succeeded, 0 failed" in solve.said
    assert {path.name for path in site.home.iterdir()} >= {"climate-ref-prefect.db", "prefect", "results", "scratch"}
    assert (site.home / "prefect" / "prefect.db").exists()
