"""A coordinator on SQLite that is killed before and after each of its writes."""

from pathlib import Path

import pytest

from tests.soak.crash_matrix import assert_every_crash_is_survived


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("prefect_server")
def test_every_crash_is_survived(tmp_path: Path) -> None:
    assert_every_crash_is_survived(tmp_path, lambda: None)
