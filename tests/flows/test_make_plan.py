"""Planning: what must be run, given the earlier attempts, and what is refused before anything starts."""

import os
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from climate_ref_prefect.diagnostics.data_catalogue import scan
from climate_ref_prefect.diagnostics.errors import BadInputError, UnknownNameError
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.execution.outcome import ExecutionFailure, Telemetry
from climate_ref_prefect.flows.planning.load_providers import LoadedProvider, check_diagnostics, load_providers
from climate_ref_prefect.flows.planning.make_plan import Rerun, make_plan
from climate_ref_prefect.flows.planning.plan import Plan, PlannedExecution
from climate_ref_prefect.flows.retry.retry_rules import RetryPolicies, RetryRule
from climate_ref_prefect.store.port import Allocation, AttemptCounts, Finalisation
from climate_ref_prefect.store.sql.database_location import sqlite_url
from climate_ref_prefect.store.sql.sql_store import Store
from climate_ref_prefect.transports.port import ResourcesRefusedError
from climate_ref_prefect.transports.this_machine.in_parallel import ClippedResourcesWarning, LocalTransport
from tests.diagnostics.cmip6_trees import add
from tests.flows.providers import SMALL
from tests.flows.run_log import NOTES
from tests.flows.temporary_site import PROVIDER
from tests.store.example_values import coordinated

RENEWED = "tests.flows.providers:renewed"
DEADLINE_SECONDS = 60.0
LARGE = LocalTransport(cpu=64, memory_mb=1_000_000)


class Desk:
    """A store, some data and a provider that can be planned for, again and again."""

    def __init__(self, root: Path, store: Store, loaded: LoadedProvider) -> None:
        self.data = root / "data"
        self.store = store
        self._loaded = loaded

    def add(self, model: str, *periods: str) -> None:
        """Make data of a model."""
        add(self.data, f"CMIP6/CMIP/Somebody/{model}/historical/r1i1p1f1/Amon/ta/gn/v20190429", *periods)

    def plan(
        self,
        diagnostics: Sequence[str] | None = ("good",),
        *,
        loaded: LoadedProvider | None = None,
        transport: LocalTransport = LARGE,
        rerun: Rerun = "none",
        key: str | None = None,
        policies: RetryPolicies | None = None,
    ) -> Plan:
        """Plan on what is there now."""
        return make_plan(
            [loaded or self._loaded],
            [],
            scan(self.data),
            self.store,
            transport,
            policies=policies or RetryPolicies(),
            diagnostics=diagnostics,
            rerun=rerun,
            key=key,
        )

    def plan_one(self, **options: Any) -> PlannedExecution:
        """Return the only execution that is planned."""
        (planned,) = self.plan(**options).executions
        return planned

    def record(
        self, kind: FailureKind | None = None, *, retryable: bool = False, counted: bool = True, **more: Any
    ) -> int:
        """Have the only execution that is planned end in some way; return its number."""
        planned = self.plan_one()
        granted = planned.granted.model_copy(update=more)
        allocation = Allocation(
            definition=planned.definition,
            resources=granted,
            attempt=planned.counts.attempts + 1,
            replaces=planned.replaces,
        )
        (row,) = self.store.allocate([allocation])
        self.store.finalise(
            row.execution_id,
            Finalisation(
                successful=kind is None,
                retryable=retryable,
                counted=counted,
                failure=kind and ExecutionFailure(kind=kind, message="why"),
                telemetry=Telemetry(),
                clears_dirty=not retryable,
                results_path=None,
            ),
        )
        return row.execution_id


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Where the provider under test would leave notes."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(NOTES, str(tmp_path_factory.mktemp("notes")))
        yield


@pytest.fixture(scope="module")
def both(notes: None) -> Iterator[list[LoadedProvider]]:
    """A provider and a later version of it."""
    with (
        load_providers([PROVIDER], DEADLINE_SECONDS) as (old, _),
        load_providers([RENEWED], DEADLINE_SECONDS) as (
            new,
            _,
        ),
    ):
        yield [*old, *new]


@pytest.fixture
def desk(tmp_path: Path, both: list[LoadedProvider]) -> Iterator[Desk]:
    """An empty store and data of one model."""
    with coordinated(sqlite_url(tmp_path / "store.db")) as store:
        desk = Desk(tmp_path, store, both[0])
        desk.add("ModelA")
        yield desk


class TestSelection:
    """What runs, what is up to date, what was given up."""

    def test_an_execution_that_was_never_run_is_run_as_a_first_attempt(self, desk: Desk) -> None:
        plan = desk.plan()
        (planned,) = plan.executions
        assert planned.definition.label == "flows/good/ModelA"
        assert (planned.counts, planned.replaces) == (AttemptCounts(), None)
        assert planned.resources == planned.granted == SMALL
        assert (plan.up_to_date, plan.given_up, plan.broken, plan.transport) == (0, 0, (), "local")

    def test_each_group_of_each_diagnostic_is_one_execution(self, desk: Desk) -> None:
        desk.add("ModelB")
        labels = [item.definition.label for item in desk.plan(["good", "other"]).executions]
        assert sorted(labels) == [
            "flows/good/ModelA",
            "flows/good/ModelB",
            "flows/other/ModelA",
            "flows/other/ModelB",
        ]

    def test_the_longest_come_first_and_of_those_the_largest(self, desk: Desk) -> None:
        planned = desk.plan(["stuck", "hungry", "good", "wide"]).executions
        assert [item.definition.diagnostic for item in planned] == ["wide", "good", "hungry", "stuck"]

    def test_without_names_all_diagnostics_are_planned(self, desk: Desk, both: list[LoadedProvider]) -> None:
        assert len(desk.plan(None).executions) == len(both[0].description.diagnostics)

    def test_what_has_succeeded_is_up_to_date(self, desk: Desk) -> None:
        desk.record()
        plan = desk.plan()
        assert (plan.executions, plan.up_to_date, plan.given_up) == ((), 1, 0)
        desk.add("ModelB")
        assert desk.plan_one().definition.key == "ModelB"

    @pytest.mark.parametrize("rerun", ["failed", "all"])
    def test_what_has_succeeded_is_run_again_only_if_all_is(self, desk: Desk, rerun: Rerun) -> None:
        first = desk.record()
        plan = desk.plan(rerun=rerun)
        assert plan.up_to_date == (rerun == "failed")
        assert [item.replaces for item in plan.executions] == ([first] if rerun == "all" else [])

    def test_what_was_given_up_stays_so(self, desk: Desk) -> None:
        desk.record(FailureKind.DIAGNOSTIC_ERROR)
        plan = desk.plan()
        assert (plan.executions, plan.up_to_date, plan.given_up) == ((), 0, 1)

    @pytest.mark.parametrize("rerun", ["failed", "all"])
    def test_what_was_given_up_begins_anew_on_request(self, desk: Desk, rerun: Rerun) -> None:
        desk.record(FailureKind.OUT_OF_MEMORY, retryable=True, memory_mb=400)
        last = desk.record(FailureKind.OUT_OF_MEMORY, memory_mb=800)
        planned = desk.plan_one(rerun=rerun)
        assert (planned.counts, planned.replaces, planned.resources) == (AttemptCounts(attempts=2), last, SMALL)

    @pytest.mark.parametrize("kind", [None, FailureKind.DIAGNOSTIC_ERROR])
    def test_what_a_user_has_marked_dirty_is_run(self, desk: Desk, kind: FailureKind | None) -> None:
        desk.record(kind)
        desk.store.mark_dirty("flows", "good")
        assert desk.plan_one().counts == AttemptCounts(attempts=1)
        desk.record()
        assert desk.plan().up_to_date == 1

    def test_what_may_still_succeed_goes_on_from_where_it_was(self, desk: Desk) -> None:
        desk.record(FailureKind.SYSTEM_ERROR, retryable=True)
        desk.record(FailureKind.WORKER_LOST, retryable=True, counted=False)
        last = desk.record(FailureKind.PUBLISH_FAILED, retryable=True, counted=False)
        planned = desk.plan_one()
        assert (planned.counts, planned.replaces) == (AttemptCounts(attempts=3, counted=1, lost=1), last)
        assert planned.resources == SMALL

    @pytest.mark.parametrize("more", [{"memory_mb": 800}, {"wall_clock": timedelta(minutes=9)}])
    def test_what_has_grown_stays_grown(self, desk: Desk, more: dict[str, Any]) -> None:
        desk.record(FailureKind.COORDINATOR_LOST, retryable=True, counted=False, **more)
        assert desk.plan_one().resources == SMALL.model_copy(update=more)

    @pytest.mark.parametrize(
        ("kind", "more"),
        [
            (FailureKind.OUT_OF_MEMORY, {"memory_mb": 2 * SMALL.memory_mb}),
            (FailureKind.TIMEOUT, {"wall_clock": 2 * SMALL.wall_clock}),
        ],
    )
    def test_what_ran_out_grows_though_the_coordinator_died_before_the_next_attempt(
        self, desk: Desk, kind: FailureKind, more: dict[str, Any]
    ) -> None:
        desk.record(kind, retryable=True)
        assert desk.plan_one().resources == SMALL.model_copy(update=more)
        desk.record(FailureKind.COORDINATOR_LOST, retryable=True, counted=False)
        assert desk.plan_one().resources == SMALL.model_copy(update=more)

    def test_each_shows_its_retry_rule_and_grows_by_it(self, desk: Desk) -> None:
        rule = RetryRule(
            match="flows/g*", name="patient", growth_factor=5, failures={FailureKind.TIMEOUT: "next solve"}
        )
        policies = RetryPolicies(rules=[rule])
        desk.record(FailureKind.TIMEOUT, retryable=True)
        planned = {
            item.definition.diagnostic: item for item in desk.plan(("good", "late"), policies=policies).executions
        }
        assert {name: item.retry_rule for name, item in planned.items()} == {"good": "patient", "late": "default"}
        assert planned["good"].resources.wall_clock == 5 * SMALL.wall_clock
        shown = desk.plan(("good", "late"), policies=policies)._repr_html_()
        assert "<th>retry rule</th>" in shown
        assert "<td>patient</td>" in shown

    def test_a_hint_that_was_cut_to_a_small_machine_is_whole_again_on_a_large_one(self, desk: Desk) -> None:
        desk.record(FailureKind.OUT_OF_MEMORY, retryable=True, memory_mb=50)
        assert desk.plan_one().resources == SMALL

    @pytest.mark.parametrize("kind", [None, FailureKind.DIAGNOSTIC_ERROR])
    def test_changed_inputs_are_run_as_if_new(self, desk: Desk, kind: FailureKind | None) -> None:
        desk.record(kind)
        (file,) = desk.data.rglob("*.nc")
        file.write_text("a corrected file")
        planned = desk.plan_one()
        assert (planned.counts, planned.replaces) == (AttemptCounts(), None)

    def test_a_touched_file_and_a_new_file_are_changed_inputs(self, desk: Desk) -> None:
        desk.record()
        (file,) = desk.data.rglob("*.nc")
        status = file.stat()
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))
        desk.record()
        assert desk.plan().up_to_date == 1
        desk.add("ModelA", "185001-201412", "201501-210012")
        assert len(desk.plan_one().definition.datasets[0].files) == 2

    def test_another_version_is_run(self, desk: Desk, both: list[LoadedProvider]) -> None:
        desk.record()
        assert desk.plan().up_to_date == 1
        assert desk.plan_one(loaded=both[1]).definition.provider_version == "2"

    def test_one_key_is_one_execution(self, desk: Desk) -> None:
        desk.add("ModelB")
        assert desk.plan_one(key="ModelB").definition.key == "ModelB"


class TestSizes:
    """What executions ask for and what they are given."""

    def test_a_hint_that_is_too_large_is_clipped_with_a_warning(self, desk: Desk) -> None:
        with load_providers(["tests.flows.providers:growing"], DEADLINE_SECONDS) as ((growing,), _):
            transport = LocalTransport(cpu=2, memory_mb=3000)
            with pytest.warns(ClippedResourcesWarning, match=r"4000 CPU and 50000000 MiB.* 2 CPU and 3000 MiB"):
                plan = desk.plan(loaded=growing, transport=transport)
        (planned,) = plan.executions
        (remark,) = plan.remarks()
        assert remark == (
            "growing/good asks for 4000 CPU and 50000000 MiB, and is given 2 CPU and 3000 MiB: all that local has."
        )
        assert (planned.resources.cpu, planned.resources.memory_mb) == (4000, 50_000_000)
        assert (planned.granted.cpu, planned.granted.memory_mb) == (2, 3000)

    def test_a_size_follows_from_the_inputs(self, desk: Desk) -> None:
        desk.add("ModelA", "185001-201412", "201501-210012")
        with (
            load_providers(["tests.flows.providers:growing"], DEADLINE_SECONDS) as ((growing,), _),
            pytest.warns(ClippedResourcesWarning),
        ):
            assert desk.plan_one(loaded=growing).resources.memory_mb == 100_000_000

    def test_an_execution_that_no_transport_grants_is_named_with_the_reason(self, desk: Desk) -> None:
        class Full(LocalTransport):
            """Has no place for anything."""

            def check(self, resources: ResourceHint) -> ResourceHint:
                raise ResourcesRefusedError("no queue takes that")

        (refused,) = desk.plan(transport=Full()).broken
        assert (refused.name, refused.failure.message) == ("flows/good/ModelA", "no queue takes that")

    def test_a_plan_sums_up(self, desk: Desk) -> None:
        desk.add("ModelB")
        plan = desk.plan(["good", "late"])
        assert plan.largest_memory_mb == 200
        assert plan.cpu_hours == pytest.approx((2 * 60 + 2 * 1) / 3600)
        empty = Plan(transport="local")
        assert (empty.largest_memory_mb, empty.cpu_hours) == (0, 0)


class TestBadInput:
    """Refused in words before anything starts."""

    def test_an_unknown_provider_lists_those_installed(self) -> None:
        with (
            pytest.raises(UnknownNameError, match=r"no provider 'nonesuch'. Valid: .*demo"),
            load_providers(["nonesuch"], DEADLINE_SECONDS),
        ):
            pass

    def test_a_reference_must_be_one(self) -> None:
        with pytest.raises(BadInputError, match=r"package\.module:attribute"), load_providers(["a b:c"], 1):
            pass

    def test_an_unknown_diagnostic_lists_those_of_all_providers(self, both: list[LoadedProvider]) -> None:
        with pytest.raises(UnknownNameError, match=r"no diagnostic 'nonesuch'. Valid: .*good.*other"):
            check_diagnostics(both, ["good", "nonesuch"])
        check_diagnostics(both, None)

    def test_a_data_directory_must_exist(self, desk: Desk) -> None:
        (file,) = desk.data.rglob("*.nc")
        with pytest.raises(BadInputError, match="does not exist"):
            scan(desk.data / "elsewhere")
        with pytest.raises(BadInputError, match="is a file"):
            scan(file)

    def test_a_data_directory_must_hold_data(self, tmp_path: Path) -> None:
        with pytest.raises(BadInputError, match=r"no \.nc file at all"):
            scan(tmp_path)

    def test_data_must_be_of_use_to_a_diagnostic(self, tmp_path: Path, desk: Desk) -> None:
        desk.data = tmp_path / "precipitation"
        add(desk.data, "CMIP6/CMIP/Somebody/ModelA/historical/r1i1p1f1/Amon/pr/gn/v20190429")
        with pytest.raises(BadInputError, match="None of the 1 data sets"):
            desk.plan()

    def test_a_key_must_exist(self, desk: Desk) -> None:
        with pytest.raises(BadInputError, match=r"No group has the key 'ModelX'.*plan"):
            desk.plan(key="ModelX")

    @pytest.mark.parametrize(
        "hint", [{"memory_mb": 0}, {"cpu": -1}, {"wall_clock": timedelta(0)}, {"memory": 1000}, {"queue": "a b; rm"}]
    )
    def test_a_hint_must_make_sense(self, hint: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=next(iter(hint))):
            ResourceHint(**hint)


class TestBrokenProviders:
    """A provider that cannot be used is reported, and the others go on."""

    def test_they_are_listed_beside_valid_ones(self, notes: None) -> None:
        names = [
            "climate_ref_prefect.testing.providers.import_error:provider",
            PROVIDER,
            "climate_ref_prefect.testing.providers.import_crash:provider",
            "climate_ref_prefect.testing.providers.import_exit:provider",
            "tests.no_such_module:provider",
            "tests.flows.providers:nonesuch",
        ]
        with load_providers(names, DEADLINE_SECONDS) as (loaded, broken):
            assert [provider.description.slug for provider in loaded] == ["flows"]
        said = {provider.name: provider.failure for provider in broken}
        assert set(said) == set(names) - {PROVIDER}
        assert {failure.kind for failure in said.values()} == {FailureKind.PROVIDER_IMPORT}
        words = ["licence server", "SIGSEGV", "4", "No module named", "not a DiagnosticProvider"]
        assert all(word in failure.message for word, failure in zip(words, said.values(), strict=True))

    def test_one_that_hangs_is_given_its_deadline(self) -> None:
        with load_providers(["climate_ref_prefect.testing.providers.import_hang:provider"], 3) as (loaded, (broken,)):
            assert not loaded
        assert "not imported after 3 s" in broken.failure.message
        assert "waiting for the licence server" in broken.failure.details

    @pytest.mark.parametrize(
        ("attribute", "name", "words"),
        [
            ("unsizable", "unsizable/good/ModelA", "the table of sizes is gone"),
            ("crashing", "crashing", "crashed"),
        ],
    )
    def test_one_that_cannot_say_what_it_needs(
        self, desk: Desk, both: list[LoadedProvider], attribute: str, name: str, words: str
    ) -> None:
        with load_providers([f"tests.flows.providers:{attribute}"], DEADLINE_SECONDS) as ((loaded,), _):
            catalogue, policies = scan(desk.data), RetryPolicies()
            plan = make_plan(
                [loaded, both[0]], [], catalogue, desk.store, LARGE, policies=policies, diagnostics=["good"]
            )
        assert [item.definition.label for item in plan.executions] == ["flows/good/ModelA"]
        (broken,) = plan.broken
        assert broken.name == name
        assert words in broken.failure.message

    def test_the_same_one_by_two_names_is_planned_once(self) -> None:
        names = ["demo", "climate_ref_prefect.diagnostics.demo.provider:provider"]
        with load_providers(names, DEADLINE_SECONDS) as (loaded, broken):
            assert [provider.description.slug for provider in loaded] == ["demo"]
            assert not broken

    def test_of_two_of_one_slug_the_first_is_planned(self) -> None:
        with load_providers([PROVIDER, RENEWED], DEADLINE_SECONDS) as (loaded, (broken,)):
            assert [provider.description.version for provider in loaded] == ["1"]
        assert broken.name == RENEWED
        assert f"{RENEWED} calls itself 'flows', as {PROVIDER} does" in broken.failure.message
