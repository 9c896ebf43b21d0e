"""The command: what people in a shell see, and the exit codes that scripts rely on."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest

from climate_ref_prefect.flows.server.server_description import running_server, server_home
from climate_ref_prefect.flows.server.server_lease import stop_server
from climate_ref_prefect.store.sql.schema_revision import VERSION_TABLE
from tests.flows.coordinator_processes import Ended, Run, run_command
from tests.flows.temporary_site import PROVIDER, Site
from tests.flows.unfinished_executions import leave_behind


@pytest.fixture
def solved(site: Site, prefect_server: object) -> Site:
    """A site on which one execution has succeeded and one has failed."""
    site.add_models("ModelA")
    site.solve("good", "own-error")
    return site


def options(site: Site, *diagnostics: str) -> list[str]:
    names = [option for diagnostic in diagnostics for option in ("--diagnostic", diagnostic)]
    return ["--data", str(site.data), "--provider", PROVIDER, "--cpu", "2", *names]


@pytest.mark.usefixtures("prefect_server")
class TestSolve:
    """Runs, reports, and says by its exit code whether all is well."""

    def test_success_is_shown_with_a_table(self, site: Site, run: Run) -> None:
        site.add_models("ModelA", "ModelB")
        ended = run("solve", *options(site, "good"))
        assert ended.code == 0
        assert "flows/good" in ended.output
        assert "2 succeeded, 0 failed, 0 up to date" in ended.output
        again = run("solve", *options(site, "good"))
        assert (again.code, "All up to date: 2 groups" in again.output) == (0, True)
        assert len(site.runs()) == 2
        unlimited = [option for option in options(site, "good") if option not in ("--cpu", "2")]
        rerun = run("solve", *unlimited, "--rerun", "all", "--transport", "inline")
        assert (rerun.code, len(site.runs())) == (0, 4)

    def test_a_failure_is_shown_with_its_kind_and_its_log(self, site: Site, run: Run) -> None:
        site.add_models("ModelA")
        ended = run("solve", *options(site, "good", "own-error"))
        assert ended.code == 1
        for words in ("1 succeeded, 1 failed", "flows/own-error/ModelA #2", "no such method", "log 2"):
            assert words in ended.output
        assert "Traceback" not in ended.errors

    def test_as_a_program_of_its_own(self, site: Site) -> None:
        site.add_models("ModelA")
        ended = run_command("solve", *options(site, "good"))
        assert ended.code == 0, ended.errors
        assert "1 succeeded, 0 failed" in ended.output


WITHOUT_PREFECT = """
import atexit, sys
atexit.register(lambda: print("Prefect is imported:", "prefect" in sys.modules))
from climate_ref_prefect.flows.cli.main import main
from climate_ref_prefect.flows.server.server_description import running_server, server_home
from climate_ref_prefect.flows.server.server_lease import stop_server
main()
"""
NO_SERVER = {"PREFECT_API_URL": "http://127.0.0.1:9/api"}


class TestNothingToRun:
    """A solve from a shell starts Prefect only where something is to run."""

    @pytest.mark.parametrize(
        ("diagnostics", "code", "words"),
        [
            (["good"], 0, "All up to date: 1 groups"),
            (["good", "own-error"], 1, "1 given up before"),
        ],
    )
    def test_no_server_is_asked(self, solved: Site, diagnostics: list[str], code: int, words: str) -> None:
        ended = self.run(*options(solved, *diagnostics))
        assert (ended.code, words in ended.output) == (code, True), ended.errors
        assert "Prefect is imported: False" in ended.output
        assert len(solved.runs()) == 2

    def test_what_a_dead_coordinator_left_is_taken_in(self, solved: Site) -> None:
        leave_behind(solved, "other")
        ended = self.run(*options(solved, "good"))
        assert "Prefect is imported: True" in ended.output
        assert "does not answer" in ended.errors

    @pytest.mark.slow
    def test_a_server_is_begun_unless_the_last_solve_has_left_nothing_to_run(self, solved: Site) -> None:
        own = {"PREFECT_HOME": str(solved.home / "none"), "CLIMATE_REF_PREFECT_SERVER_LIFETIME": "PT1H"}
        directory = server_home(solved.home)
        assert "All up to date" in self.run(*options(solved, "good"), environment=own).output
        assert stop_server(directory) is not None
        assert "All up to date" in self.run(*options(solved, "good"), environment=own).output
        assert running_server(directory) is None

    @staticmethod
    def run(*arguments: str, environment: Mapping[str, str] = NO_SERVER) -> Ended:
        inherited = {name: text for name, text in os.environ.items() if name != "PREFECT_API_URL"}
        ended = subprocess.run(
            [sys.executable, "-c", WITHOUT_PREFECT, "solve", *arguments],
            env={**inherited, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)


class TestPlan:
    """Says what would run, and runs nothing."""

    def test_it_sums_up_and_leaves_no_trace(self, site: Site, run: Run) -> None:
        site.add_models("ModelA", "ModelB")
        ended = run("plan", *options(site, "good", "other"))
        assert ended.code == 0
        for words in ("flows/good", "flows/other", "200"):
            assert words in ended.output
        assert not site.runs()
        assert not site.attempts()
        assert not (site.home / "scratch").exists()

    def test_keys_are_listed_for_scripts(self, site: Site, run: Run) -> None:
        site.add_models("ModelA", "ModelB")
        lines = run("plan", *options(site, "good"), "--keys").output.splitlines()
        assert lines[:2] == ["flows good ModelA", "flows good ModelB"]

    def test_retry_rules_are_shown_and_those_of_the_option_come_first(
        self, site: Site, run: Run, tmp_path: Path
    ) -> None:
        site.add_models("ModelA")
        site.home.mkdir()
        (site.home / "retry.yaml").write_text("- {match: flows/good, name: of the site}")
        given = tmp_path / "mine.yaml"
        given.write_text("- {match: '*/good', name: my own}")
        assert "of the site" in run("plan", *options(site, "good")).output
        assert "my own" in run("plan", *options(site, "good"), "--retry-rules", given).output
        given.write_text("- {match: '*/good', tries: 3}")
        for command in ("plan", "solve"):
            assert_refused(run(command, *options(site, "good"), "--retry-rules", given), "no field `tries`")

    def test_what_is_settled_is_left_out(self, solved: Site, run: Run) -> None:
        output = run("plan", *options(solved, "good", "own-error", "other"), "--keys").output
        assert [line for line in output.splitlines() if line.endswith(" ModelA")] == ["flows other ModelA"]


class TestStatusAndLog:
    """What is under way, what came of it, and what it printed."""

    def test_status_counts_and_lists(self, solved: Site, run: Run) -> None:
        output = run("status").output
        for words in (
            "no coordinator runs",
            "0 unfinished, 1 successful, 0 failed and retryable, 1 failed for good",
            "Groups: 2, of which 0 to be run",
            "flows/own-error/ModelA #2",
            "diagnostic_error",
            "no such method",
        ):
            assert words in output
        assert "ModelA" not in run("status", "--limit", 0).output
        assert "#1" not in run("status", "--limit", 1).output

    def test_the_log_of_a_failure_and_of_a_success(self, solved: Site, run: Run) -> None:
        assert "no such method" in run("log", 2).output
        fine = run("log", 1)
        assert (fine.code, fine.errors) == (0, "")

    def test_a_log_that_does_not_exist(self, solved: Site, run: Run) -> None:
        assert_refused(run("log", 99), "no execution 99")
        shutil.rmtree(solved.home / "scratch")
        assert_refused(run("log", 2), "has left no log")

    def test_a_log_is_printed_byte_by_byte(self, solved: Site, run: Run) -> None:
        (row,) = solved.attempts("own-error")
        printed = b"50 % [bold]\xff\r done"
        (solved.home / "scratch" / row.fragment / "run.log").write_bytes(printed)
        assert run("log", 2).output.encode("utf-8", "surrogateescape").endswith(printed)

    def test_nothing_to_cancel(self, solved: Site, run: Run) -> None:
        ended = run("cancel")
        assert (ended.code, "nothing to cancel" in ended.output) == (0, True)

    @pytest.mark.parametrize("command", [["status"], ["log", 1], ["cancel"]])
    def test_where_nothing_has_been_run(self, site: Site, run: Run, command: list[object]) -> None:
        assert_refused(run(*command), f"Nothing has been run in {site.home}")
        assert not site.home.exists()


@pytest.mark.slow
class TestReingest:
    """Results that were refused, and are mended since."""

    def test_it_shows_the_result_of_each(self, site: Site, run: Run, prefect_server: object) -> None:
        site.add_models("ModelA")
        site.solve("unlisted", "good")
        refused = run("reingest")
        assert refused.code == 1
        assert "1 failed; " in refused.output
        assert "'atlantis' is not one of" in refused.output
        site.configure(vocabulary_is_strict=False)
        (number,) = [row.execution_id for row in site.attempts("unlisted")]
        mended = run("reingest", number)
        assert (mended.code, "1 mended; " in mended.output) == (0, True)
        assert "2 unchanged; " in run("reingest", "--all", "--provider", "flows").output

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ([1, "--kind", "publish_failed"], "but not both"),
            (["--kind", "crashed"], "invalid_result, vocabulary_mismatch, publish_failed"),
            ([99], "There is no execution 99"),
            (["--diagnostic", "goood"], "no recorded diagnostic 'goood'. Valid: good, own-error"),
        ],
    )
    def test_what_makes_no_sense(self, solved: Site, run: Run, options: list[object], words: str) -> None:
        assert_refused(run("reingest", *options), words)


class TestDatabase:
    """`db upgrade`, and a database that this version cannot use."""

    def test_upgrade_makes_one_and_may_be_repeated(self, site: Site, run: Run) -> None:
        first, second = run("db", "upgrade"), run("db", "upgrade")
        assert (first.code, second.code) == (0, 0)
        assert first.output == second.output
        assert "is at revision" in first.output
        assert site.attempts() == []

    def test_a_newer_one_is_refused(self, solved: Site, run: Run) -> None:
        with closing(sqlite3.connect(solved.home / "climate-ref-prefect.db", isolation_level=None)) as connection:
            connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = 'from-the-future'")
        for command in (["status"], ["plan", *options(solved)], ["solve", *options(solved)], ["db", "upgrade"]):
            ended = run(*command)
            assert ended.code == 1
            assert "from-the-future" in last_line(ended)


BAD_INPUT = [
    (["--provider", "nonesuch"], "There is no provider 'nonesuch'. Valid: demo"),
    (["--provider", "no colon.here"], "no provider 'no colon.here'"),
    (["--provider", "1x:y"], "is not of the form package.module:attribute"),
    (["--diagnostic", "nonesuch"], "There is no diagnostic 'nonesuch'. Valid: "),
    (["--data", "/nonesuch"], "The data directory /nonesuch does not exist."),
    (["--data", os.devnull], "is a file"),
    (["--data", "/proc/self/fdinfo"], "There are no data sets below /proc/self/fdinfo"),
]


@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize("command", ["solve", "plan"])
class TestBadInput:
    """A line on stderr, exit code 2, and nothing has been started."""

    @pytest.mark.parametrize(("more", "words"), BAD_INPUT)
    def test_it_is_refused_in_a_line(self, site: Site, run: Run, command: str, more: list[str], words: str) -> None:
        site.add_models("ModelA")
        given = ["--data", str(site.data)] if "--data" not in more else []
        provider = ["--provider", PROVIDER] if "--provider" not in more else []
        assert_refused(run(command, *given, *provider, *more), words)
        assert not site.runs()

    def test_without_a_traceback_of_prefects(self, site: Site, command: str) -> None:
        site.add_models("ModelA")
        ended = run_command(command, *options(site, "nonesuch"))
        assert_refused(ended, "There is no diagnostic 'nonesuch'. Valid: ")

    def test_a_state_directory_that_cannot_be_made(self, site: Site, run: Run, command: str, tmp_path: Path) -> None:
        site.add_models("ModelA")
        (tmp_path / "file").touch()
        site.configure(home=tmp_path / "file" / "state")
        assert_refused(run(command, *options(site)), "CLIMATE_REF_PREFECT_HOME")

    @pytest.mark.parametrize(
        "more", [["--rerun", "some"], ["--transport", "pigeon"], ["--cpu", "0"], ["--memory-mb", "-5"], ["--nonesuch"]]
    )
    def test_options_that_make_no_sense(self, site: Site, run: Run, command: str, more: list[str]) -> None:
        site.add_models("ModelA")
        ended = run(command, "--data", site.data, "--provider", PROVIDER, *more)
        assert ended.code == 2
        assert more[0] in ended.errors
        assert "Traceback" not in ended.errors

    @pytest.mark.parametrize("limit", ["--cpu", "--memory-mb"])
    def test_limits_of_this_machine_on_another_transport(self, site: Site, run: Run, command: str, limit: str) -> None:
        site.add_models("ModelA")
        ended = run(command, "--data", site.data, "--provider", PROVIDER, "--transport", "inline", limit, "2")
        assert_refused(ended, f"`{limit}`")

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ({"vocabulary": "/nonesuch.yaml"}, "/nonesuch.yaml cannot be read"),
            ({"database_url": "mysql://host/x"}, "mysql"),
            ({"max_attempts": "0"}, "MAX_ATTEMPTS"),
            ({"keep_scratch": "some"}, "KEEP_SCRATCH"),
        ],
    )
    def test_settings_that_make_no_sense(
        self, site: Site, run: Run, command: str, settings: dict[str, str], words: str
    ) -> None:
        site.add_models("ModelA")
        site.configure(**settings)
        assert_refused(run(command, *options(site)), words)


def assert_refused(ended: Ended, words: str) -> None:
    """Assert that bad input was reported in one line at the end of stderr, without a traceback."""
    assert ended.code == 2, ended.errors
    assert last_line(ended).startswith("climate-ref-prefect: ")
    assert words in last_line(ended)
    assert "Traceback" not in ended.errors


def last_line(ended: Ended) -> str:
    """Return the last line of stderr."""
    return ended.errors.rstrip("\n").rpartition("\n")[2]
