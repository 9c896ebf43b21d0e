"""Text from others is shown as plain text: on consoles, in HTML, in Markdown and in log lines."""

import io
import logging
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect.logging.handlers import PrefectConsoleHandler
from prefect.settings import PREFECT_LOGGING_MARKUP, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings
from rich.console import Console

from climate_ref_prefect.diagnostics.execution_definition import ProviderReference
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.execution.outcome import ExecutionFailure
from climate_ref_prefect.flows.display.log_escaping import RUN_LOGGERS, EscapingFilter, escaped_logs
from climate_ref_prefect.flows.display.tables import add_row, console_table
from climate_ref_prefect.flows.display.text_escaping import (
    escape_control_characters,
    html_text,
    markdown_text,
    one_line,
    rich_text,
    shortened,
)
from climate_ref_prefect.flows.lifecycle.leftovers import Leftovers
from climate_ref_prefect.flows.planning.load_providers import BrokenProvider
from climate_ref_prefect.flows.planning.plan import Plan, PlannedExecution
from climate_ref_prefect.flows.report.solve_report import SolveReport
from climate_ref_prefect.flows.server.recorded_task_runs import RecordedTaskRuns
from climate_ref_prefect.store.sql.database_location import sqlite_url
from climate_ref_prefect.store.sql.sql_store import Store
from tests.flows.unsafe_texts import SHOWN
from tests.store.example_values import allocate, coordinated, definition, failure

pytestmark = pytest.mark.usefixtures("_no_colours")
TEXTS = pytest.mark.parametrize(("said", "shown"), SHOWN.items())


@pytest.fixture
def _no_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FORCE_COLOR", "CLICOLOR_FORCE"):
        monkeypatch.delenv(name, raising=False)


def printed(*shown: object, **options: object) -> str:
    """Return what a console of another program prints on a terminal."""
    console = Console(file=io.StringIO(), force_terminal=True, color_system=None, **{"width": 200, **options})  # type: ignore[arg-type]
    console.print(*shown)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@TEXTS
def test_a_text_is_shown_as_it_is_and_what_a_terminal_would_obey_as_escapes(said: str, shown: str) -> None:
    assert escape_control_characters(said) == shown
    assert printed(rich_text(said)) == f"{shown}\n"
    table = console_table("execution", "message")
    add_row(table, (said, said))
    assert printed(table).count(shown) == 2
    assert unescape(html_text(said)) == shown
    assert not re.search("[<>]", html_text(said))


@given(st.text(st.characters(exclude_categories=())))
def test_no_shown_text_is_interpreted(said: str) -> None:
    assert all(
        letter.isprintable() or letter in "\n\t" or letter.isspace() for letter in escape_control_characters(said)
    )
    assert not set("\r\x1b\x85\u2028\x0b\x0c\x1c") & set(escape_control_characters(said))
    assert not set("\n\t") & set(one_line(said))
    assert escape_control_characters(escape_control_characters(said)) == escape_control_characters(said)
    escape_control_characters(said).encode()
    printed(rich_text(said))


@given(st.text(st.sampled_from("`ab \n[<*_"), max_size=12))
def test_markdown_is_one_span_of_code_that_nothing_in_it_ends(said: str) -> None:
    span = markdown_text(said)
    fence = re.match("`+", span)
    if fence is None:
        assert span == one_line(said)
        assert re.fullmatch("([ab][ab_ ]*)?", span)
        assert not re.search(r"\b_|_\b", span)
        return
    inside = span[len(fence[0]) : -len(fence[0])]
    assert span.endswith(fence[0])
    assert fence[0] not in re.findall("`+", inside)
    assert inside.strip() == one_line(said)


@pytest.mark.parametrize(
    ("said", "marked"),
    [
        ("demo/annual-cycle/CanESM5.historical.r1i1p1f1 #12", "demo/annual-cycle/CanESM5.historical.r1i1p1f1 #12"),
        ("ValueError: no method for day_of_year (3 %)", "ValueError: no method for day_of_year (3 %)"),
        ("see https://127.0.0.1/x", "`see https://127.0.0.1/x`"),
        ("see www.example.org", "`see www.example.org`"),
        ("somebody@example.org", "`somebody@example.org`"),
        ("# heading", "`# heading`"),
        ("a _b_ c", "`a _b_ c`"),
        ("<b>", "`<b>`"),
        ("a `b`", "`` a `b` ``"),
        ("", ""),
    ],
)
def test_markdown_of_what_has_no_meaning_in_it_is_the_text_itself(said: str, marked: str) -> None:
    assert markdown_text(said) == marked


def test_what_is_too_long_is_cut_and_says_so() -> None:
    assert shortened("x" * 2_500) == "x" * 2_000 + " [... and 500 more characters]"
    assert shortened("short", 5) == "short"
    assert one_line("a\nb\tc\r\nd\r") == r"a\nb\tc\nd"
    assert len(markdown_text("`" * 100_000)) < 10_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    with coordinated(sqlite_url(tmp_path / "store.db")) as opened:
        yield opened


@pytest.fixture
def report(store: Store) -> SolveReport:
    """A report on executions that failed with each of the texts, and of a provider that cannot be used."""
    rows = []
    for number, said in enumerate(SHOWN):
        row = allocate(store, definition(f"Model{number}"))
        store.finalise(row.execution_id, failure(FailureKind.DIAGNOSTIC_ERROR, retryable=False, message=said))
        rows.append(row.execution_id)
    broken = ExecutionFailure(kind=FailureKind.PROVIDER_IMPORT, message="cannot import [/x]\n\x1b[2J")
    return SolveReport(
        plan=Plan(broken=(BrokenProvider(name="bad[/name]", failure=broken),), transport="local"),
        executions=store.executions(execution_ids=rows, newest_first=False),
        leftovers=Leftovers(elsewhere=("demo/mean/[/left]",)),
        recorded=RecordedTaskRuns(finished=0, recorded=0, seconds=0),
        seconds=1,
        running_seconds=1,
        results_directory="/results",
    )


def test_a_report_shows_every_message_on_any_console_and_in_notebooks(report: SolveReport) -> None:
    for shown in (printed(report), printed(report, markup=True, emoji=True, highlight=True), str(report)):
        for text in SHOWN.values():
            assert text in shown
        assert r"bad[/name] could not be run: cannot import [/x]\n\x1b[2J" in shown
        assert "demo/mean/[/left] was left alone" in shown
        assert "\x1b" not in shown
    assert "bad[/name] could not be run: cannot import" in unescape(report._repr_html_())
    assert "\x1b" not in report._repr_html_()


def test_a_long_path_in_a_message_is_folded_and_not_cut() -> None:
    path = "/data/" + "a-long-name/" * 20 + "tas.nc"
    table = console_table("execution", "message")
    add_row(table, ("demo/mean/x #1", path))
    lines = printed(table, width=70).splitlines()
    assert path in "".join(line.rstrip().rpartition("   ")[2] for line in lines)


def test_a_plan_shows_text(store: Store) -> None:
    planned = PlannedExecution(
        definition=definition("[/key]"),
        provider=ProviderReference(target="a:b"),
        resources=ResourceHint(),
        granted=ResourceHint(),
    )
    plan = Plan(executions=(planned,), transport="[/transport]")
    assert "on [/transport]" in printed(plan)
    assert "on [/transport]" in str(plan)


class TestLogs:
    """Lines of the log are text whatever Prefect is set to."""

    @TEXTS
    def test_a_record_is_made_visible_before_anybody_formats_it(self, said: str, shown: str) -> None:
        record = logging.LogRecord("prefect.flow_runs", logging.INFO, "", 0, "said: %s", (said,), None)
        assert EscapingFilter().filter(record)
        assert record.getMessage() == f"said: {shown}"

    @TEXTS
    def test_prefects_console_reads_no_markup(self, said: str, shown: str) -> None:
        stream = io.StringIO()
        logger = logging.getLogger(RUN_LOGGERS[0])
        with temporary_settings({PREFECT_LOGGING_MARKUP: True}):
            handler = PrefectConsoleHandler(stream)
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
        level = logger.level
        logger.setLevel(logging.INFO)
        try:
            with escaped_logs(), temporary_settings({PREFECT_LOGGING_TO_API_ENABLED: False}):
                logger.info("said: %s", said)
                logger.error("it failed", exc_info=ValueError(said))
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)
        assert f"said: {shown}\n" in stream.getvalue()
        assert f"ValueError: {shown}\n" in stream.getvalue()
        assert isinstance(handler.formatter, logging.Formatter)
        assert handler.formatter.__class__ is logging.Formatter
