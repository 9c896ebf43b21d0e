"""What a diagnostic prints is UTF-8 in its log, whatever the locale of the machine that runs it."""

from contextlib import closing

import pytest

from climate_ref_prefect.diagnostics.execution_definition import Isolation
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.worker.execute import ServerPool, execute
from climate_ref_prefect.testing.executions import Prepare


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


@pytest.mark.parametrize("isolation", ["warm", "fresh"])
class TestErrorOutputThatIsGone:
    """What is logged after `sys.stderr` has been closed or taken away is no failure, and is in the log."""

    @pytest.mark.parametrize("diagnostic", ["error-output-closed", "error-output-detached"])
    def test_by_the_diagnostic(self, prepare: Prepare, isolation: Isolation, diagnostic: str) -> None:
        directory, _ = prepare(diagnostic, isolation=isolation)
        with closing(ServerPool()) as servers:
            assert execute(directory, servers).failure is None
        log = ExecutionDirectory(directory).log.read_text(encoding="utf-8")
        assert f"Finished test/{diagnostic}" in log
        assert ("hPa after the end" in log) == (diagnostic == "error-output-closed")

    def test_the_failure_is_in_the_log(self, prepare: Prepare, isolation: Isolation) -> None:
        directory, _ = prepare("error-output-closed-and-failed", isolation=isolation)
        with closing(ServerPool()) as servers:
            failure = execute(directory, servers).failure
        assert failure is not None
        assert failure.message == "ValueError: told in the log"
        assert "Traceback" in ExecutionDirectory(directory).log.read_text(encoding="utf-8")

    def test_by_the_import_of_the_provider(self, prepare: Prepare, isolation: Isolation) -> None:
        directory, _ = prepare("noop", isolation=isolation, target="tests.providers_that_close:provider")
        with closing(ServerPool()) as servers:
            assert execute(directory, servers).failure is None
        assert "Finished" in ExecutionDirectory(directory).log.read_text(encoding="utf-8")
