"""What a diagnostic prints is UTF-8 in its log, whatever the locale of the machine that runs it."""

from contextlib import closing

import pytest

from climate_ref_prefect.diagnostics.definition import Isolation
from climate_ref_prefect.transports.worker.directory import ExecutionDirectory
from climate_ref_prefect.transports.worker.execute import ServerPool, execute
from tests.executions import Prepare


@pytest.mark.parametrize("isolation", ["warm", "fresh"])
@pytest.mark.parametrize(
    "locale",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"LC_ALL": "POSIX"},
        {"PYTHONIOENCODING": "latin-1:strict"},
    ],
    ids=["ascii", "posix", "latin-1"],
)
def test_the_log_is_utf8(
    prepare: Prepare, monkeypatch: pytest.MonkeyPatch, locale: dict[str, str], isolation: Isolation
) -> None:
    for name, value in locale.items():
        monkeypatch.setenv(name, value)
    directory, _ = prepare("print-odd-letters", isolation=isolation)
    with closing(ServerPool()) as servers:
        assert execute(directory, servers).succeeded
    log = ExecutionDirectory(directory).log.read_text(encoding="utf-8")
    assert "3 °C \\udcff\n" in log
    assert "μ\n" in log
