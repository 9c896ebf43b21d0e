import ast
import re
from collections.abc import Iterator
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from pkgutil import resolve_name

import pytest
import typer
from pydantic import BaseModel, TypeAdapter

from climate_ref_prefect.diagnostics.data_requirement import DataRequirement
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.claim import Claim
from climate_ref_prefect.execution.closed_attempt import Closed
from climate_ref_prefect.execution.envelope import WorkerLimits
from climate_ref_prefect.execution.failure_kinds import FAILURE_RULES, Decision, FailureKind, Limit
from climate_ref_prefect.execution.host.environment_variables import TABLE
from climate_ref_prefect.execution.outcome import ExecutionOutcome, FileRecord, Telemetry
from climate_ref_prefect.execution.worker import resource_sampler
from climate_ref_prefect.flows.cli.main import app
from climate_ref_prefect.flows.server.server_settings import SERVER_SETTINGS
from climate_ref_prefect.flows.settings import Settings
from climate_ref_prefect.ref.executor_settings import ExecutorSettings
from climate_ref_prefect.ref.failure_reasons import FAILURE_REASONS, RefFailureReason, reason_of
from climate_ref_prefect.ref.hints.hint_for import shipped_defaults
from climate_ref_prefect.ref.hints.hint_table import HintRule
from climate_ref_prefect.ref.tables import metadata
from climate_ref_prefect.store.sql.table_models import Base
from climate_ref_prefect.transports.this_machine.in_parallel import LocalTransport
from climate_ref_prefect.transports.this_machine.one_at_a_time import InlineTransport
from tests.docs.pages import DOCS
from tests.packaging.checkout import ROOT

REFERENCE = DOCS / "reference"
HOW_TO = DOCS / "how-to"
_WORDS = {Decision.GIVE_UP: "give up", Decision.RETRY: "retry", Decision.RETRY_LATER: "next solve"}


def rows(name: str, folder: Path = REFERENCE) -> dict[str, list[str]]:
    """Return the table rows of a page by their first cell, without backquotes."""
    lines = (line for line in (folder / name).read_text(encoding="utf-8").splitlines() if line.startswith("|"))
    tables = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {cells[0].strip("`"): cells[1:] for cells in tables}


@pytest.mark.parametrize("model", [Settings, LocalTransport, InlineTransport, WorkerLimits, ResourceHint])
def test_settings_names_every_field(model: type[BaseModel]) -> None:
    text = (REFERENCE / "settings.md").read_text()
    assert [name for name in model.model_fields if f"| `{name}` |" not in text] == []


@pytest.mark.parametrize("field", Settings.model_fields)
def test_settings_has_the_default_of_every_variable(field: str) -> None:
    name, shown, *_ = rows("settings.md")[field.upper()]
    default = Settings.model_fields[field].default
    assert name == f"`{field}`"
    if default is None:  # it is in words: none, or what holds then
        assert not re.match(r"`[^`/]*`$|[0-9]", shown)
    elif isinstance(default, timedelta):
        assert TypeAdapter(timedelta).validate_python(shown.strip("`")) == default
    else:
        assert shown.split()[0].strip("`") == (str(default).lower() if isinstance(default, bool) else str(default))


def test_the_first_look_at_the_memory_is_when_the_page_says() -> None:
    text = (HOW_TO / "size-executions.md").read_text(encoding="utf-8")
    assert f"first {resource_sampler._FIRST_PAUSE_SECONDS:g} s after the start" in text


def test_settings_names_every_variable() -> None:
    assert {name.upper() for name in Settings.model_fields} <= rows("settings.md").keys()


@pytest.mark.parametrize("model", [ExecutionOutcome, Telemetry, FileRecord, Claim, Closed])
def test_file_protocol_names_every_field(model: type[BaseModel]) -> None:
    text = (REFERENCE / "file-protocol.md").read_text()
    assert [name for name in model.model_fields if f"`{name}`" not in text] == []


def test_choose_data_names_every_field_of_a_requirement() -> None:
    text = (HOW_TO / "choose-data.md").read_text()
    assert [name for name in DataRequirement.model_fields if f"| `{name}` |" not in text] == []


def test_environment_has_the_table() -> None:
    lines = (REFERENCE / "environment.md").read_text(encoding="utf-8").splitlines()
    shown = [line for line in lines if line.startswith("|")][2:]
    assert shown == [
        f"| {', '.join(f'`{name}`' for name in rule.variables)} "
        f"| {rule.server} | {rule.provider} | {rule.scheduler} | {rule.why} |"
        for rule in TABLE
    ]


@pytest.mark.parametrize("kind", FailureKind)
def test_failure_kinds_has_the_rule_of_every_kind_in_words(kind: FailureKind) -> None:
    rule = FAILURE_RULES[kind]
    limit = "" if rule.limit is Limit.NONE else f"`{rule.limit}`"
    shown = [rule.title, rule.meaning, rule.fault, _WORDS[rule.decision], rule.grows or "", limit, rule.prefect_state]
    assert rows("failure-kinds.md")[kind] == shown


@pytest.mark.parametrize("kind", FailureKind)
def test_when_something_fails_says_what_to_do_next_in_the_words_of_the_report(kind: FailureKind) -> None:
    shown = rows("when-something-fails.md", HOW_TO)[kind]
    assert without_markup(shown[0]) == without_markup(FAILURE_RULES[kind].next_step)


def without_markup(text: str) -> str:
    """Return a text without links and backquotes."""
    return re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", text).replace("`", "")


@pytest.mark.parametrize("setting", SERVER_SETTINGS)
def test_prefect_server_has_every_setting_and_its_value(setting: str) -> None:
    text = (HOW_TO / "prefect-server.md").read_text()
    values = (SERVER_SETTINGS[setting], f"`{SERVER_SETTINGS[setting]}`")
    assert any(f"| `{setting}` | {value} |" in text for value in values)


def test_command_has_a_section_for_every_command_and_names_its_options() -> None:
    text = (REFERENCE / "command.md").read_text()
    for name, options in commands():
        assert f"\n## {name}\n" in text
        assert [option for option in options if option not in text] == []


def commands() -> Iterator[tuple[str, list[str]]]:
    """Yield every command with its options."""
    yield from _below(typer.main.get_command(app), "")


def _below(command: object, prefix: str) -> Iterator[tuple[str, list[str]]]:
    for name, one in getattr(command, "commands", {}).items():
        if hasattr(one, "commands"):
            yield from _below(one, f"{prefix}{name} ")
        else:
            options = [option for parameter in one.params for option in parameter.opts]
            yield f"{prefix}{name}", [option for option in options if option.startswith("--")]


@pytest.mark.parametrize("table", Base.metadata.sorted_tables, ids=lambda table: str(table.name))
def test_store_names_every_table_and_every_column_of_interest(table: object) -> None:
    text = (REFERENCE / "store.md").read_text()
    assert f"`{getattr(table, 'name', '')}`" in text


def test_store_names_every_column_of_an_execution() -> None:
    text = (REFERENCE / "store.md").read_text()
    columns = [column.name for column in Base.metadata.tables["execution"].columns]
    assert [name for name in columns if name != "id" and f"`{name}`" not in text] == []


def public_names() -> Iterator[tuple[str, str]]:
    """Yield what the tables of the Python API name, with the module that is given for it."""
    for line in (REFERENCE / "python-api.md").read_text().splitlines():
        if line.startswith("| `"):
            names, modules = ([*re.findall(r"`([\w.]+)", cell)] for cell in line.split("|")[1:3])
            yield from ((name, modules[min(index, len(modules) - 1)]) for index, name in enumerate(names))


@pytest.mark.parametrize(("name", "module"), list(public_names()))
def test_names_of_the_python_api_are_where_it_says(name: str, module: str) -> None:
    assert hasattr(import_module(f"climate_ref_prefect.{module}"), name)


def dotted_names() -> list[str]:
    """Return the full names of modules and of what lies in them that pages give; decisions tell of what was, too."""
    pages = [path.read_text(encoding="utf-8") for path in DOCS.rglob("*.md") if "decisions" not in path.parts]
    return sorted({name for page in pages for name in re.findall(r"`(climate_ref_prefect(?:\.\w+)+)`", page)})


@pytest.mark.parametrize("name", dotted_names())
def test_names_in_full_are_where_the_pages_say(name: str) -> None:
    assert resolve_name(name) is not None


def test_the_index_lists_every_page() -> None:
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    pages = [path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")]
    assert not [page for page in pages if page != "index.md" and f"({page})" not in index]


def test_climate_ref_has_the_reason_of_every_failure_kind() -> None:
    shown = rows("climate-ref.md")
    for kind, reason in FAILURE_REASONS.items():
        (cell,) = shown[kind]
        assert re.findall(r"`(\w+)`", cell)[0] == reason
        assert ("not_started" in cell) == (reason_of(kind, has_begun=False) is RefFailureReason.NOT_STARTED)


def test_climate_ref_has_every_keyword_of_the_executor() -> None:
    assert ExecutorSettings.model_fields.keys() <= rows("climate-ref.md").keys()


def test_climate_ref_names_every_table() -> None:
    text = (REFERENCE / "climate-ref.md").read_text(encoding="utf-8")
    assert [name for name in metadata.tables if f"`{name}`" not in text] == []


def test_climate_ref_has_a_line_for_each_fault_that_is_tested_and_no_other() -> None:
    text = (REFERENCE / "climate-ref.md").read_text(encoding="utf-8")
    section = text.partition("## What interrupts a solve")[2].partition("\n## ")[0]
    shown = [line.split(" | ")[0].strip("| ") for line in section.splitlines() if line.startswith("|")][2:]
    assert sorted(shown) == sorted(faults_of_tests())


def faults_of_tests() -> Iterator[str]:
    """Yield what the tests of climate-ref are marked with. They are only read: without climate-ref they do not run."""
    for path in (ROOT / "tests" / "ref").glob("test_ref_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "fault":
                yield ast.literal_eval(node.args[0])


def test_size_ref_executions_has_every_default_and_every_field() -> None:
    shown = rows("size-ref-executions.md", HOW_TO)
    expected = {
        rule.match: [
            str(rule.memory_mb), f"{rule.memory_mb_per_input_gb:g}", str(rule.cpu), str(rule.wall_clock), rule.basis
        ]
        for rule in shipped_defaults().rules
    }  # fmt: skip
    assert {match: cells for match, cells in shown.items() if "/" in match} == expected
    text = (HOW_TO / "size-ref-executions.md").read_text(encoding="utf-8")
    assert [name for name in HintRule.model_fields if f"`{name}`" not in text] == []
