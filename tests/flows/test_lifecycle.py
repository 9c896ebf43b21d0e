"""The lifecycle at its boundary: a real store, real transports, a real Prefect server."""

import os
import shutil
import socket
import stat
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import copy_context
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.schemas.objects import TERMINAL_STATES, StateType
from prefect.exceptions import CancelledRun

from climate_ref_prefect.diagnostics.demo.sample_data import sample_data_root
from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.diagnostics.execution_result import METRIC_BUNDLE, OUTPUT_BUNDLE, SERIES, SeriesCollection
from climate_ref_prefect.diagnostics.metric_bundle import MetricBundle
from climate_ref_prefect.diagnostics.output_bundle import OutputBundle
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.flows.settings import Settings
from climate_ref_prefect.flows.workspace.workspace import open_workspace
from climate_ref_prefect.store.errors import CoordinatorBusyError
from climate_ref_prefect.testing.executions import QUICK
from climate_ref_prefect.transports.port import Transport
from climate_ref_prefect.transports.this_machine.in_parallel import ClippedResourcesWarning, LocalTransport
from climate_ref_prefect.transports.this_machine.one_at_a_time import InlineTransport, UnguardedWarning
from tests.diagnostics.cmip6_trees import add
from tests.flows.task_run_states import assert_runs_ended_as_recorded
from tests.flows.temporary_site import PROVIDER, AttemptRow, Site, Solved, when
from tests.flows.tmpfs_disk import Disk
from tests.prefect_server import cancel_flow_run, messages, state_of, task_runs
from tests.store.example_values import coordinated

pytestmark = pytest.mark.usefixtures("prefect_server")

PHASES = ("allocate", "dispatch", "run", "classify", "publish", "ingest", "finalise")
MODELS = ("ModelA", "ModelB")
ENDINGS = ("good", "own-error", "os-error", "flaky", "hungry", "late", "stuck", "unlisted")
FINE = {"good", "flaky", "hungry", "late"}
TRANSPORTS: list[Transport] = [InlineTransport(limits=QUICK), LocalTransport(cpu=2, limits=QUICK)]


def name_of(transport: Transport) -> str:
    return transport.name


@contextmanager
def cancelled_when(condition: Callable[[], bool], site: Site) -> Iterator[list[UUID]]:
    """Have the flow run of the solve in this context cancelled, as in the UI, as soon as something is so."""
    cancelled: list[UUID] = []

    def cancel() -> None:
        when(condition)
        holder = site.holder()
        assert holder is not None
        cancelled.append(UUID(holder.flow_run_id))
        cancel_flow_run(*cancelled)

    cancelling = threading.Thread(target=copy_context().run, args=(cancel,))
    cancelling.start()
    yield cancelled
    cancelling.join()


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory, prefect_server: object) -> Iterator[tuple[Site, Solved]]:
    """One solve in which executions of two models end in every way there is."""
    with pytest.MonkeyPatch.context() as environment:
        site = Site(tmp_path_factory.mktemp("ended"), environment)
        site.add_models(*MODELS)
        solved = site.solve(*ENDINGS, transport=LocalTransport(cpu=4, memory_mb=2000, limits=QUICK))
        yield site, solved


@pytest.fixture
def ended_site(ended: tuple[Site, Solved], monkeypatch: pytest.MonkeyPatch) -> Site:
    """The site of that solve, to look at; its settings hold while the test runs."""
    site, _ = ended
    monkeypatch.setenv("CLIMATE_REF_PREFECT_HOME", str(site.home))
    return site


class TestEndings:
    """What is recorded of each way to end."""

    def attempts(self, site: Site, diagnostic: str) -> list[list[AttemptRow]]:
        """Return the attempts of each group of a diagnostic."""
        found = [site.attempts(diagnostic, model) for model in MODELS]
        assert all(found)
        return found

    def test_every_attempt_has_a_fragment_of_its_own(self, ended_site: Site) -> None:
        fragments = Counter(row.fragment for row in ended_site.attempts())
        assert set(fragments.values()) == {1}
        assert {run.directory for run in ended_site.runs()} == {
            str(ended_site.home / "scratch" / fragment) for fragment in fragments
        }

    def test_everything_is_finalised(self, ended_site: Site) -> None:
        ended_site.assert_settled()
        ended_site.assert_nothing_ran_twice()

    def test_success_and_giving_up_clear_dirty(self, ended_site: Site) -> None:
        assert ended_site.dirty() == set()

    @pytest.mark.parametrize("diagnostic", sorted(FINE))
    def test_success_is_recorded_and_published(self, ended_site: Site, diagnostic: str) -> None:
        for attempts in self.attempts(ended_site, diagnostic):
            last = attempts[-1]
            assert (last.successful, last.retryable, last.failure_kind) == (True, False, None)
            assert last.results_path == str(ended_site.home / "results" / last.fragment)
            assert "values.txt" in {path.name for path in Path(last.results_path).iterdir()}

    @pytest.mark.parametrize(
        ("diagnostic", "kind"),
        [
            ("own-error", FailureKind.DIAGNOSTIC_ERROR),
            ("os-error", FailureKind.SYSTEM_ERROR),
            ("stuck", FailureKind.TIMEOUT),
            ("unlisted", FailureKind.VOCABULARY_MISMATCH),
        ],
    )
    def test_a_final_failure_marks_the_row_failed(self, ended_site: Site, diagnostic: str, kind: FailureKind) -> None:
        for attempts in self.attempts(ended_site, diagnostic):
            assert (attempts[-1].successful, attempts[-1].retryable, attempts[-1].failure_kind) == (False, False, kind)

    @pytest.mark.parametrize("diagnostic", ["own-error", "unlisted", "good"])
    def test_what_cannot_change_runs_exactly_once(self, ended_site: Site, diagnostic: str) -> None:
        assert [len(attempts) for attempts in self.attempts(ended_site, diagnostic)] == [1, 1]
        assert len(ended_site.runs(diagnostic)) == 2

    @pytest.mark.parametrize(("diagnostic", "times"), [("os-error", 3), ("flaky", 2), ("stuck", 3)])
    def test_retries_are_rows_linked_to_what_they_replace(self, ended_site: Site, diagnostic: str, times: int) -> None:
        for attempts in self.attempts(ended_site, diagnostic):
            assert [row.attempt for row in attempts] == list(range(1, times + 1))
            assert [row.replaces for row in attempts] == [None, *(row.execution_id for row in attempts[:-1])]
            assert all(row.retryable and row.counted and not row.successful for row in attempts[:-1])

    def test_a_system_error_grows_nothing_and_is_given_up_after_three(self, ended_site: Site) -> None:
        for attempts in self.attempts(ended_site, "os-error"):
            assert len({(row.memory_mb, row.wall_clock_seconds) for row in attempts}) == 1
            assert attempts[-1].message == "OSError: the disk is on fire (given up after 3 attempts)"

    def test_out_of_memory_grows_memory_alone_until_it_fits(self, ended_site: Site) -> None:
        for attempts in self.attempts(ended_site, "hungry"):
            sizes = [row.memory_mb for row in attempts]
            assert sizes == [50, 100, 200][: len(sizes)]
            assert len(sizes) > 1
            assert len({row.wall_clock_seconds for row in attempts}) == 1
            assert {row.failure_kind for row in attempts[:-1]} == {FailureKind.OUT_OF_MEMORY}
            assert "next attempt with more memory: 100 MiB instead of 50 MiB" in str(attempts[0].message)

    @pytest.mark.parametrize("diagnostic", ["late", "stuck"])
    def test_a_timeout_grows_wall_clock_alone(self, ended_site: Site, diagnostic: str) -> None:
        for attempts in self.attempts(ended_site, diagnostic):
            limits = [row.wall_clock_seconds for row in attempts]
            assert limits == [limits[0] * 2**number for number in range(len(limits))]
            assert len(limits) > 1
            assert len({row.memory_mb for row in attempts}) == 1

    def test_a_vocabulary_mismatch_leaves_no_values(self, ended_site: Site) -> None:
        refused = [row.execution_id for row in ended_site.attempts("unlisted")]
        with ended_site.store() as store:
            assert not store.scalars(refused)
            assert not store.series(refused)
            assert not store.outputs(refused)

    def test_results_are_ingested_as_published_and_repeating_it_inserts_nothing(self, ended_site: Site) -> None:
        (row,) = ended_site.attempts("good", "ModelA")
        published = Path(str(row.results_path))
        metrics = MetricBundle.model_validate_json((published / METRIC_BUNDLE).read_bytes())
        outputs = OutputBundle.model_validate_json((published / OUTPUT_BUNDLE).read_bytes())
        series = SeriesCollection.from_json((published / SERIES).read_bytes()).series
        with coordinated(Settings().store_url) as store:
            scalars = store.scalars([row.execution_id])
            assert [(scalar.dimensions, scalar.value) for scalar in scalars] == list(metrics.scalars())
            assert len(scalars) == 2
            tables = ("execution_output", "scalar_value", "series_value", "execution", "execution_group")
            before = {table: ended_site.query(f"SELECT * FROM {table} ORDER BY id") for table in tables}
            for _ in range(2):
                store.ingest(row.execution_id, outputs, metrics, series)
            assert {table: ended_site.query(f"SELECT * FROM {table} ORDER BY id") for table in tables} == before

    def test_the_report_counts_attempts_and_names_what_failed(self, ended: tuple[Site, Solved]) -> None:
        site, solved = ended
        report = solved.report
        assert [row.execution_id for row in report.executions] == [row.execution_id for row in site.attempts()]
        assert report.succeeded == 2 * len(FINE)
        assert {row.diagnostic for row in report.failed} == set(ENDINGS) - FINE
        assert len(report.failed) == 2 * (len(ENDINGS) - len(FINE))
        assert not report.ok

    def test_what_failed_keeps_its_scratch_and_what_succeeded_only_its_documents(self, ended_site: Site) -> None:
        scratch = ended_site.home / "scratch"
        (fine,), (failed,) = ended_site.attempts("good", "ModelA"), ended_site.attempts("own-error", "ModelA")
        assert {path.name for path in (scratch / fine.fragment).iterdir()} == {
            "claim.json",
            "envelope.json",
            "outcome.json",
            "telemetry.json",
        }
        assert {"output", "run.log"} <= {path.name for path in (scratch / failed.fragment).iterdir()}
        assert "no such method" in (scratch / failed.fragment / "run.log").read_text()

    def test_replaced_attempts_are_closed(self, ended_site: Site) -> None:
        for row in ended_site.attempts():
            closed = ended_site.home / "scratch" / row.fragment / "closed.json"
            assert closed.exists() == bool(row.retryable)


class TestTaskRuns:
    """What Prefect's server shows of a solve."""

    def test_every_task_run_is_there_final_and_named_by_phase_and_execution(self, ended: tuple[Site, Solved]) -> None:
        site, solved = ended
        shown = task_runs(solved.flow_run_id)
        assert {run.state_type for run in shown} <= TERMINAL_STATES
        assert len(shown) == solved.report.recorded.recorded == solved.report.recorded.finished
        assert solved.report.recorded.complete
        names: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for run in shown:
            phase, _, label = run.name.partition(" ")
            names[phase][label.partition(", attempt")[0]] += 1
        assert set(names) == set(PHASES)
        labels = {f"flows/{row.diagnostic}/{row.key} #{row.execution_id}" for row in site.attempts()}
        for phase in ("dispatch", "run", "finalise"):
            assert names[phase] == Counter(labels)
        assert set(names["classify"]) == labels
        published = {
            f"flows/{row.diagnostic}/{row.key} #{row.execution_id}" for row in site.attempts() if row.results_path
        }
        assert set(names["publish"]) == set(names["ingest"]) == published
        retries = sum(1 for row in site.attempts() if row.replaces)
        assert names["allocate"].total() == 1 + retries
        assert names["allocate"]["16 executions"] == 1

    def test_a_run_ends_in_the_state_of_its_failure_and_is_not_retried_by_prefect(
        self, ended: tuple[Site, Solved]
    ) -> None:
        site, solved = ended
        assert_runs_ended_as_recorded(site, solved)

    def test_a_run_that_failed_is_logged_in_one_line(self, ended: tuple[Site, Solved]) -> None:
        _, solved = ended
        failed = [run for run in task_runs(solved.flow_run_id) if run.state_type is not StateType.COMPLETED]
        assert failed
        said, with_flow_run = "Finished in state Failed(", len(failed) + 1
        when(lambda: sum(line.startswith(said) for line in messages(solved.flow_run_id)) == with_flow_run)
        assert not any("NoneType" in line or "run failed with" in line for line in messages(solved.flow_run_id))


class TestSecondSolve:
    """What is run again, and what counts from one solve to the next."""

    def test_all_is_up_to_date(self, site: Site) -> None:
        site.add_models(*MODELS)
        assert site.solve("good", "other").report.ok
        report = site.solve("good", "other").report
        assert report.headline() == "All up to date: 4 groups have succeeded on these inputs before."
        assert report.ok
        assert len(site.runs()) == 4
        site.add_models("ModelC")
        assert site.solve("good", "other").report.succeeded == 2
        assert len(site.runs()) == 6

    def test_what_failed_for_good_runs_again_only_on_request(self, site: Site) -> None:
        site.add_models("ModelA")
        site.solve("good", "own-error")
        report = site.solve("good", "own-error").report
        assert (report.plan.up_to_date, report.plan.given_up, report.executions) == (1, 1, ())
        assert not report.ok
        assert "given up before" in report.headline()
        report = site.solve("good", "own-error", rerun="failed").report
        assert [row.diagnostic for row in report.executions] == ["own-error"]
        report = site.solve("good", "own-error", rerun="all").report
        assert [row.diagnostic for row in report.executions] == ["good", "own-error"]
        assert [row.attempt for row in site.attempts("own-error")] == [1, 2, 3]
        assert [row.replaces for row in site.attempts("good")] == [None, 1]
        assert site.dirty() == set()

    def test_attempts_are_counted_across_solves(self, site: Site) -> None:
        site.add_models("ModelA")
        started = site.notes / "started-ModelA"
        with cancelled_when(started.exists, site) as cancelled, pytest.raises(CancelledRun):
            site.solve("fails-then-waits")
        first, second = site.attempts()
        assert (first.failure_kind, first.counted, first.retryable) == (FailureKind.SYSTEM_ERROR, True, True)
        assert (second.failure_kind, second.counted, second.retryable) == (FailureKind.CANCELLED, False, True)
        assert site.dirty() == {"fails-then-waits/ModelA"}
        assert state_of(*cancelled) is StateType.CANCELLED
        (site.notes / "go").touch()
        site.solve("fails-then-waits")
        third, fourth = site.attempts()[2:]
        assert [row.attempt for row in site.attempts()] == [1, 2, 3, 4]
        assert third.replaces == second.execution_id
        assert fourth.message == "OSError: the disk is on fire (given up after 3 attempts)"
        assert site.dirty() == set()
        site.assert_nothing_ran_twice()


class TestTransports:
    """What holds whatever transport runs an execution."""

    @pytest.mark.parametrize("transport", TRANSPORTS, ids=name_of)
    def test_wall_clock_holds(self, site: Site, transport: Transport) -> None:
        site.add_models("ModelA")
        site.configure(max_attempts=1)
        site.solve("good", "stuck", transport=transport)
        assert site.attempts("good")[0].successful
        (stuck,) = site.attempts("stuck")
        assert (stuck.failure_kind, stuck.retryable) == (FailureKind.TIMEOUT, False)
        assert "wall clock limit of 0.5 s. (given up after 1 attempt)" in str(stuck.message)

    def test_values_are_the_same_to_the_byte(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        seen = set()
        for number, transport in enumerate([*TRANSPORTS, InlineTransport(in_process=True)]):
            site = Site(tmp_path / str(number), monkeypatch)
            site.add_models(*MODELS)
            with pytest.warns(UnguardedWarning) if number == 2 else nullcontext():
                site.solve("good", "other", transport=transport)
            rows = {row.fragment.rpartition("/")[0]: row for row in site.attempts() if row.successful}
            assert len(rows) == 4
            seen.add(
                tuple(
                    (Path(str(rows[group].results_path)) / name).read_bytes()
                    for group in sorted(rows)
                    for name in (METRIC_BUNDLE, SERIES, OUTPUT_BUNDLE)
                )
            )
        assert len(seen) == 1

    def test_growth_stops_at_what_the_machine_has_and_says_so(self, site: Site) -> None:
        site.add_models("ModelA")
        with pytest.warns(ClippedResourcesWarning):
            site.solve("hungry", transport=LocalTransport(cpu=1, memory_mb=80, limits=QUICK))
        assert [row.memory_mb for row in site.attempts()] == [50, 80]
        last = site.attempts()[-1]
        assert (last.retryable, last.failure_kind) == (False, FailureKind.OUT_OF_MEMORY)
        assert "given up: the memory is at this site's limit (80 MiB)" in str(last.message)


class TestOrder:
    """What ends early is through early."""

    def test_a_slow_execution_never_holds_back_the_ingest_of_others(self, site: Site) -> None:
        site.add_models("ModelA")
        site.solve("good", "other", "flaky", "waits-for-others")
        assert [row.diagnostic for row in site.attempts() if row.successful] == [
            "good",
            "other",
            "waits-for-others",
            "flaky",
        ]


class TestVocabulary:
    """A value outside the vocabulary."""

    def test_it_is_logged_and_taken_where_the_setting_is_lowered(self, site: Site) -> None:
        site.add_models("ModelA")
        site.configure(vocabulary_is_strict=False)
        solved = site.solve("unlisted")
        assert solved.report.ok
        with site.store() as store:
            assert [row.dimensions for row in store.scalars([1])] == [{"region": "atlantis"}]
        when(lambda: any("'atlantis' is not one of" in message for message in messages(solved.flow_run_id)))

    def test_a_vocabulary_of_the_sites_own(self, site: Site, tmp_path: Path) -> None:
        vocabulary = tmp_path / "vocabulary.yaml"
        vocabulary.write_text(
            "dimensions: [{name: region, long_name: Region, required: true, allow_extra_values: true}]\n"
        )
        site.add_models("ModelA")
        site.configure(vocabulary=vocabulary)
        site.solve("good", "unlisted")
        assert {row.diagnostic: row.successful for row in site.attempts()} == {"good": False, "unlisted": True}


class TestBrokenProviders:
    """A provider that cannot be imported does not keep the others from running."""

    def test_the_others_go_on_and_the_report_says_so(self, site: Site) -> None:
        site.add_models("ModelA")
        limits = QUICK.model_copy(update={"import_deadline_seconds": 20})
        report = site.solve(
            "good",
            providers=[
                "climate_ref_prefect.testing.providers.import_crash:provider",
                PROVIDER,
                "tests.flows.providers:unsizable",
            ],
            transport=LocalTransport(cpu=2, limits=limits),
        ).report
        assert [row.label for row in report.executions if row.successful] == ["flows/good/ModelA"]
        names = ["climate_ref_prefect.testing.providers.import_crash:provider", "unsizable/good/ModelA"]
        assert [broken.name for broken in report.plan.broken] == names
        assert not report.ok
        assert "2 could not be planned" in report.headline()


class TestOneAtATime:
    """Two coordinators of one state directory."""

    def test_a_second_solve_is_refused_with_the_name_of_the_coordinator(self, site: Site) -> None:
        site.add_models("ModelA")
        with (
            open_workspace(Settings(), coordinating=True),
            pytest.raises(CoordinatorBusyError, match=rf"process {os.getpid()} on {socket.gethostname()}"),
        ):
            site.solve("good")
        assert not site.runs()
        assert site.solve("good").report.ok


class TestPlaces:
    """Directories that cannot be used are refused before anything starts."""

    @pytest.mark.parametrize("place", ["home", "scratch", "results"])
    def test_a_directory_that_cannot_be_made(self, site: Site, tmp_path: Path, place: str) -> None:
        site.add_models("ModelA")
        (tmp_path / "file").touch()
        site.configure(**{place: tmp_path / "file" / "below"})
        with pytest.raises(BadInputError, match=rf"directory {tmp_path}/file/below cannot be written.*{place.upper()}"):
            site.solve("good")
        assert not site.runs()

    @pytest.mark.parametrize("place", ["home", "scratch", "results"])
    def test_a_directory_that_is_read_only(self, site: Site, disk: Disk, place: str) -> None:
        site.add_models("ModelA")
        site.configure(**{place: disk.path})
        disk.make_read_only()
        with pytest.raises(BadInputError, match="cannot be written: Read-only file system"):
            site.solve("good")
        disk.make_writable()
        assert site.solve("good").report.ok

    def test_three_roots(self, site: Site, tmp_path: Path) -> None:
        site.add_models("ModelA")
        site.configure(scratch=tmp_path / "scratch", results=tmp_path / "results")
        site.solve("good")
        (row,) = site.attempts()
        assert (tmp_path / "scratch" / row.fragment / "outcome.json").exists()
        assert (tmp_path / "results" / row.fragment / METRIC_BUNDLE).exists()
        for place, mode in (("state", 0o700), ("scratch", 0o700), ("results", 0o750)):
            path = site.home if place == "state" else tmp_path / place
            assert stat.S_IMODE(path.stat().st_mode) == mode

    def test_nothing_stays_on_scratch_of_what_was_published(self, site: Site) -> None:
        site.add_models(*MODELS)
        site.configure(keep_documents=False)
        site.solve("good", "own-error")
        left = {row.fragment for row in site.attempts("own-error")}
        scratch = site.home / "scratch"
        assert {str(path.relative_to(scratch)) for path in scratch.glob("*/*/*/*")} == left
        assert not list(scratch.glob("*/good"))
        assert site.solve("good", "own-error").report.plan.up_to_date == len(MODELS)

    @pytest.mark.parametrize("keep", ["all", "none"])
    def test_what_is_kept_of_scratch_is_a_setting(self, site: Site, keep: str) -> None:
        site.add_models("ModelA")
        site.configure(keep_scratch=keep)
        site.solve("good", "own-error")
        for row in site.attempts():
            scratch = site.home / "scratch" / row.fragment
            assert (scratch / "outcome.json").exists()
            assert (scratch / "output").exists() == (keep == "all")


class TestUnreadableData:
    """The demo provider on files of which one is no NetCDF."""

    def test_only_its_own_execution_fails(self, site: Site) -> None:
        drs = "CMIP6/CMIP/CCCma/CanESM5/historical/r1i1p1f1/Amon/ta/gn/v20190429"
        shutil.copytree(sample_data_root() / drs, site.data / drs)
        add(site.data, drs.replace("CanESM5", "Broken1"))
        report = site.solve("annual-cycle", providers=["demo"]).report
        outcomes = {row.key.split(".")[0]: row for row in report.executions}
        assert outcomes["CanESM5"].successful
        broken = outcomes["Broken1"]
        assert (broken.successful, broken.failure_kind) == (False, FailureKind.DIAGNOSTIC_ERROR)
        assert "Broken1" in str(broken.failure_message)
