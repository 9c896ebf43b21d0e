"""
A solve of the example provider through this package against REF's own executor.

`test_ref_oldest_version` runs it with the oldest climate-ref. With the newest, `test_ref_real_diagnostics` shows the
same and more, so that no other test run collects this file.
"""

from pathlib import Path

from tests.ref.home import OURS, RefHome
from tests.ref.values import data_files, executions, values


def test_the_example_provider_gives_the_same_rows_values_and_files(made_home: RefHome, tmp_path: Path) -> None:
    theirs, ours = (made_home.copy_to(tmp_path / name) for name in ("theirs", "ours"))
    ours.configure(OURS, ['transport = "local"', "cpu = 2"])
    for home in (theirs, ours):
        home.ref("solve", "--timeout", "0")
    rows = executions(ours)
    assert len(rows) == 6, rows
    assert [row for row in rows if not row.successful or row.dirty] == []
    assert {(row.slug, row.key) for row in rows} == {(row.slug, row.key) for row in executions(theirs)}
    assert values(ours) == values(theirs)
    assert data_files(ours) == data_files(theirs)
