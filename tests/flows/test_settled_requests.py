"""A request is settled for as long as neither it nor the data changes; whatever else happens costs no error."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from climate_ref_prefect.diagnostics.data_catalogue import Catalogue, scan
from climate_ref_prefect.flows.planning.settled_requests import FILE_NAME, is_settled, remember_settled
from climate_ref_prefect.flows.planning.solve_request import SolveRequest
from climate_ref_prefect.flows.settings import Settings
from climate_ref_prefect.transports.this_machine.in_parallel import LocalTransport
from tests.diagnostics.cmip6_trees import DRS, add

REQUEST = SolveRequest("data", ["demo"], None, LocalTransport(), "none")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "home").mkdir()
    return Settings(home=tmp_path / "home")


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    add(tmp_path / "data")
    return scan(tmp_path / "data")


def test_only_once_it_has_been_remembered(settings: Settings, catalogue: Catalogue) -> None:
    assert not is_settled(settings, REQUEST, catalogue)
    remember_settled(settings, REQUEST, catalogue)
    assert is_settled(settings, REQUEST, catalogue)


@pytest.mark.parametrize(
    "change", [{"providers": ["demo", "other"]}, {"diagnostics": ["one"]}, {"rerun": "failed"}, {"data": "other"}]
)
def test_another_request_is_not(settings: Settings, catalogue: Catalogue, change: dict[str, Any]) -> None:
    remember_settled(settings, REQUEST, catalogue)
    other = replace(REQUEST, **change)
    assert not is_settled(settings, other, catalogue)
    remember_settled(settings, other, catalogue)
    assert is_settled(settings, other, catalogue)
    assert is_settled(settings, REQUEST, catalogue)


def test_what_runs_everything_never_is(settings: Settings, catalogue: Catalogue) -> None:
    everything = replace(REQUEST, rerun="all")
    remember_settled(settings, everything, catalogue)
    assert not is_settled(settings, everything, catalogue)


def test_not_with_other_data(settings: Settings, catalogue: Catalogue) -> None:
    remember_settled(settings, REQUEST, catalogue)
    add(catalogue.root, DRS.replace("CanESM5", "Other"))
    assert not is_settled(settings, REQUEST, scan(catalogue.root))


@pytest.mark.parametrize("left", ["", "[]", "{", '{"a": 1}'])
def test_a_damaged_file_is_made_anew(settings: Settings, catalogue: Catalogue, left: str) -> None:
    (settings.home_directory / FILE_NAME).write_text(left)
    assert not is_settled(settings, REQUEST, catalogue)
    remember_settled(settings, REQUEST, catalogue)
    assert is_settled(settings, REQUEST, catalogue)


def test_the_latest_requests_are_kept(settings: Settings, catalogue: Catalogue) -> None:
    requests = [replace(REQUEST, diagnostics=[str(number)]) for number in range(40)]
    for request in requests:
        remember_settled(settings, request, catalogue)
    assert not is_settled(settings, requests[0], catalogue)
    assert all(is_settled(settings, request, catalogue) for request in requests[-30:])


def test_a_file_that_cannot_be_written_is_a_line_in_the_log(
    settings: Settings, catalogue: Catalogue, caplog: pytest.LogCaptureFixture
) -> None:
    (settings.home_directory / FILE_NAME).mkdir()
    remember_settled(settings, REQUEST, catalogue)
    assert "cannot be written" in caplog.text
    assert [path.name for path in settings.home_directory.iterdir()] == [FILE_NAME]
