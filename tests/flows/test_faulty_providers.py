"""A fault in one provider is reported with its name, and everything else is run."""

from pathlib import Path

import pytest

from climate_ref_prefect.diagnostics.data_catalogue import scan
from climate_ref_prefect.diagnostics.errors import UnknownNameError
from climate_ref_prefect.diagnostics.provider import find_provider
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.flows.planning import load_providers as flows_providers
from climate_ref_prefect.flows.planning.load_providers import find_installed_provider, load_providers
from climate_ref_prefect.flows.planning.make_plan import make_plan
from climate_ref_prefect.flows.planning.plan import Plan
from climate_ref_prefect.flows.retry.retry_policy import RetryPolicy
from climate_ref_prefect.flows.retry.retry_rules import RetryPolicies
from climate_ref_prefect.store.sql.database_location import sqlite_url
from climate_ref_prefect.store.sql.sql_store import open_store
from climate_ref_prefect.transports.port import ResourcesRefusedError, Transport
from climate_ref_prefect.transports.this_machine.in_parallel import LocalTransport
from tests.diagnostics.cmip6_trees import add
from tests.flows.coordinator_processes import run_command
from tests.flows.run_log import NOTES
from tests.flows.temporary_site import PROVIDER, Site

MODULE = "tests.flows.faulty_providers"
DEADLINE_SECONDS = 60.0


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with data of two models."""
    monkeypatch.setenv(NOTES, str(tmp_path))
    for model in ("ModelA", "ModelB"):
        add(tmp_path / "data", f"CMIP6/CMIP/Somebody/{model}/historical/r1i1p1f1/Amon/ta/gn/v20190429")
    return tmp_path


def plan(root: Path, *providers: str, transport: Transport | None = None, diagnostics: list[str] | None = None) -> Plan:
    with (
        open_store(sqlite_url(root / "store.db")) as store,
        load_providers([f"{MODULE}:{name}" for name in providers], DEADLINE_SECONDS) as (loaded, broken),
    ):
        return make_plan(
            loaded,
            broken,
            scan(root / "data"),
            store,
            transport or LocalTransport(cpu=2, memory_mb=1_000),
            policies=RetryPolicies(RetryPolicy()),
            diagnostics=diagnostics,
        )


def told(plan: Plan) -> dict[str, str]:
    """Return what is said about each thing that cannot be run; one line, and no traceback."""
    messages = {one.name: one.failure.message for one in plan.broken}
    assert not [message for message in messages.values() if "Traceback" in message or "errors.pydantic" in message]
    return messages


def labels(plan: Plan) -> list[str]:
    return sorted(item.definition.label for item in plan.executions)


def test_a_diagnostic_with_an_invalid_declaration_is_reported_separately(root: Path) -> None:
    planned = plan(root, "declaring")
    assert labels(planned) == ["declaring/fine/ModelA", "declaring/fine/ModelB"]
    messages = told(planned)
    for slug, words in {
        "annual cycle": "its `slug` is 'annual cycle', and must be lower-case letters, digits, dots, dashes and",
        "Capital": "its `slug` is 'Capital'",
        "number-for-version": "its `version` is 2, and must be a text",
        "none-for-version": "its `version` is None, and must be a text",
        "no-data": "its `data` is None, and must be a DataRequirement",
        "facet": "There is no facet 'source'. Valid: activity_id, ",
        "filter": "Is it 'variable_id'?",
        "hint": "its `resources.memory_mb` is -1",
        "unchecked": "its `resources.memory_mb` is None",
        "unchecked-data": "its `data.group_by` is []",
        "half-a-letter": r"its `version` is '1\udcff': it holds half of a character",
        "\udcff": r"its `slug` is '\udcff'",
        "unspeakable": "SpeechlessError: its message cannot be read: RuntimeError",
        "raising": "RuntimeError: [/no] name",
    }.items():
        assert words in messages[f"declaring/{slug}"]
    assert len(messages) == 14
    assert r"declaring/raising cannot be run: What it declares is wrong: RuntimeError: [/no] name\x1b[2J" in str(
        planned
    )


def test_diagnostics_that_were_not_chosen_are_not_reported(root: Path) -> None:
    assert told(plan(root, "declaring", diagnostics=["fine"])) == {}
    assert set(told(plan(root, "declaring", diagnostics=["fine", "Capital"]))) == {"declaring/Capital"}


def test_groups_whose_size_is_unknown(root: Path) -> None:
    planned = plan(root, "sizing")
    assert labels(planned) == ["sizing/fine/ModelA", "sizing/fine/ModelB", "sizing/first/ModelB"]
    messages = told(planned)
    for name, words in {
        "sizing/none": "2 groups, ModelA first: DiagnosticError: resources_for returned None, and must ",
        "sizing/dictionary": "resources_for returned {'memory_mb': 100}",
        "sizing/unchecked": "its `memory_mb` is -5",
        "sizing/raises": "2 groups, ModelA first: KeyError: 'ModelA is not in the table'",
        "sizing/exits": "SystemExit",
        "sizing/first/ModelA": "KeyError",
    }.items():
        assert words in messages[name]
    assert len(messages) == 6


def test_providers_that_are_wrong_themselves(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows_providers, "_ANSWER_SECONDS", 3.0)
    names = ("bad_slug", "no_version", "half_a_letter", "bad_isolation", "exiting", "vanishing", "interrupted")
    planned = plan(root, *names, "babbling", "no_provider", "nonesuch", "hanging", "printing")
    assert labels(planned) == ["printing/fine/ModelA", "printing/fine/ModelB"]
    messages = told(planned)
    for name, words in {
        "bad_slug": "its `slug` is 'Bad_Slug', and must be lower-case letters, digits, dots, dashes and",
        "no_version": "its `version` is None, and must be a text",
        "half_a_letter": r"its `version` is '1\udcff'",
        "vanishing": "crashed: exit code 9.",
        "interrupted": "crashed: SIGINT (Interrupt); the last that it printed: KeyboardInterrupt",
        "bad_isolation": "its `isolation` is 'lukewarm', and must be 'warm' or 'fresh'",
        "exiting": "SystemExit: no licence",
        "babbling": "describes itself wrongly",
        "no_provider": "not a DiagnosticProvider",
        "nonesuch": "not a DiagnosticProvider",
        "hanging": "did not answer",
    }.items():
        assert words in messages[f"{MODULE}:{name}"]


def test_the_second_provider_of_a_name_is_left_out(root: Path) -> None:
    planned = plan(root, "printing", "namesake", "namesake")
    assert labels(planned) == [
        f"{slug}/fine/{model}" for slug in ("flows", "printing") for model in ("ModelA", "ModelB")
    ]
    with load_providers([PROVIDER, f"{MODULE}:namesake"], DEADLINE_SECONDS) as (loaded, broken):
        assert [one.description.slug for one in loaded] == ["flows"]
    assert [one.name for one in broken] == [f"{MODULE}:namesake"]
    assert f"calls itself 'flows', as {PROVIDER} does" in broken[0].failure.message


def test_executions_that_fit_nowhere_are_left_out_and_the_rest_is_planned(root: Path) -> None:
    class Picky(LocalTransport):
        """Has no place for one model."""

        def check(self, resources: ResourceHint) -> ResourceHint:
            if resources.memory_mb > 100:
                raise ResourcesRefusedError("no queue takes that")
            return super().check(resources)

    planned = plan(root, "printing", transport=Picky(cpu=2, memory_mb=1_000))
    assert planned.executions == ()
    (refused,) = planned.broken
    assert (refused.name, refused.failure.kind) == ("printing/fine", FailureKind.SUBMISSION_REFUSED)
    assert refused.failure.message == "2 groups, ModelA first: no queue takes that"


class TestEntryPoints:
    """Installed providers, of which one is declared wrongly."""

    @pytest.fixture
    def installed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Install a distribution with two entry points of which only one can be one."""
        information = tmp_path / "somebody-1.dist-info"
        information.mkdir()
        (information / "METADATA").write_text("Metadata-Version: 2.1\nName: somebody\nVersion: 1\n")
        (information / "entry_points.txt").write_text(
            f"[climate_ref_prefect.providers]\nfine = {MODULE}:printing\nwrong = no module here\n"
        )
        monkeypatch.syspath_prepend(str(tmp_path))

    @pytest.mark.usefixtures("installed")
    def test_it_is_its_own_failure(self) -> None:
        with load_providers(["wrong", "fine"], DEADLINE_SECONDS) as (loaded, broken):
            assert [one.description.slug for one in loaded] == ["printing"]
        (only,) = broken
        assert only.name == "wrong"
        assert "declares its entry point wrongly: 'no module here' is not of the form" in only.failure.message

    def test_a_name_that_is_not_installed_is_refused_with_what_it_may_be(self) -> None:
        with pytest.raises(UnknownNameError, match=r"'my_temperature'.*as in my_module:provider"):
            find_installed_provider("my_temperature")
        with pytest.raises(UnknownNameError, match=r"Is it 'demo'"):
            find_provider("dem0")


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_the_others_are_run_and_the_exit_codes_say_so(site: Site) -> None:
    site.add_models("ModelA")
    options = ["--data", str(site.data), "--provider", f"{MODULE}:declaring", "--provider", PROVIDER]
    options += ["--diagnostic", "fine", "--diagnostic", "annual cycle", "--diagnostic", "good", "--cpu", "2"]
    planned = run_command("plan", *options)
    assert planned.code == 1, planned.errors
    assert "declaring/annual cycle cannot be run: " in planned.output
    solved = run_command("solve", *options)
    assert solved.code == 1, solved.errors
    assert "2 succeeded, 0 failed, 0 up to date, 1 could not be planned" in solved.output
    assert "declaring/annual cycle could not be run: What it declares is wrong: its `slug`" in solved.output
    assert "Traceback" not in solved.errors
