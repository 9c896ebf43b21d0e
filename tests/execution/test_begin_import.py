"""Providers are imported side by side, each once."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from climate_ref_prefect.diagnostics.execution_definition import ProviderReference
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.execution.worker.execute import ServerPool
from climate_ref_prefect.execution.worker.provider_server_client import ProviderImportError
from climate_ref_prefect.testing.processes import wait_until

DEADLINE_SECONDS = 60.0
MEETING = """
import os, time
from climate_ref_prefect.testing.providers.contract_provider import provider
open({own!r}, "a").write("imported\\n")
until = time.monotonic() + 30
while not os.path.exists({other!r}) and time.monotonic() < until:
    time.sleep(0.01)
assert os.path.exists({other!r})
"""
CRASHING = """
import os
open({own!r}, "a").write("imported\\n")
os._exit(3)
"""


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServerPool]:
    """A pool whose providers may lie in the test's directory."""
    monkeypatch.syspath_prepend(tmp_path)
    with closing(ServerPool()) as pool:
        yield pool


def write_provider(directory: Path, name: str, text: str, other: str = "") -> ProviderReference:
    notes = {"own": str(directory / f"{name}.imports"), "other": str(directory / f"{other}.imports")}
    (directory / f"{name}.py").write_text(text.format(**notes))
    return ProviderReference(target=f"{name}:provider", isolation="warm")


def imports_of(directory: Path, name: str) -> int:
    note = directory / f"{name}.imports"
    return len(note.read_text().splitlines()) if note.exists() else 0


def test_two_are_imported_at_the_same_time(pool: ServerPool, tmp_path: Path) -> None:
    references = [
        write_provider(tmp_path, "first_to_meet", MEETING, other="second_to_meet"),
        write_provider(tmp_path, "second_to_meet", MEETING, other="first_to_meet"),
    ]
    for reference in references:
        pool.begin_import(reference, 1)
    assert all(pool.server(reference, 1, DEADLINE_SECONDS).ready for reference in references)
    assert [imports_of(tmp_path, name) for name in ("first_to_meet", "second_to_meet")] == [1, 1]


def test_one_that_has_crashed_meanwhile_says_so_and_is_not_imported_again(pool: ServerPool, tmp_path: Path) -> None:
    reference = write_provider(tmp_path, "crashes_early", CRASHING)
    pool.begin_import(reference, 1)
    wait_until(lambda: imports_of(tmp_path, "crashes_early"))
    with pytest.raises(ProviderImportError) as raised:
        pool.server(reference, 1, DEADLINE_SECONDS)
    assert raised.value.failure.kind is FailureKind.PROVIDER_IMPORT
    assert imports_of(tmp_path, "crashes_early") == 1


def test_it_is_begun_once(pool: ServerPool, tmp_path: Path) -> None:
    reference = write_provider(tmp_path, "begun_twice", MEETING, other="begun_twice")
    for _ in range(2):
        pool.begin_import(reference, 1)
    assert pool.server(reference, 1, DEADLINE_SECONDS) is pool.server(reference, 1, DEADLINE_SECONDS)
    assert imports_of(tmp_path, "begun_twice") == 1
