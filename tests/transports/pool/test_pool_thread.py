"""The thread of a pool between a scheduler and workers that answer from memory."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.execution.outcome import ExecutionOutcome
from climate_ref_prefect.testing.executions import Prepare
from climate_ref_prefect.testing.processes import wait_until
from climate_ref_prefect.transports.batch.pool.execution_file_monitor import (
    Heartbeats,
    is_silent,
    outcome_left,
    output_of_job,
)
from climate_ref_prefect.transports.batch.pool.plan import Limits
from climate_ref_prefect.transports.batch.pool.pool_thread import PoolThread
from climate_ref_prefect.transports.batch.pool.worker_link_port import Listener
from climate_ref_prefect.transports.batch.schedulers.scheduler_port import (
    JobRecord,
    SchedulerSilentError,
    SubmissionInDoubtError,
)
from climate_ref_prefect.transports.batch.settings.job_sizing import JobSize
from climate_ref_prefect.transports.batch.settings.pool_limits import PoolLimits
from climate_ref_prefect.transports.port import Ended, Submission
from tests.transports.pool.making import CANCELLED, FAILED, HINT, NODE_FAIL, PENDING, RUNNING, SIZE, outcome


class Scheduler:
    """A batch scheduler that starts nothing by itself."""

    name = "SLURM"
    programs = ()

    def __init__(self) -> None:
        self.jobs: dict[str, JobRecord] = {}
        self.marks: dict[str, str] = {}
        self.asked: list[str] = []
        self.loses_answers = False
        self.silent = False
        self.tells_marks = True

    def submit(self, script: Path) -> str:
        self.asked.append("submit")
        job_id = str(len(self.jobs) + 1)
        self.jobs[job_id], self.marks[job_id] = PENDING, self.mark_in(script)
        if self.loses_answers:
            raise SubmissionInDoubtError("timed out")
        return job_id

    def look(self, job_ids: Sequence[str]) -> dict[str, JobRecord]:
        self._note("look")
        return {job_id: self.jobs[job_id].model_copy(update={"job_id": job_id}) for job_id in job_ids}

    def cancel(self, job_ids: Sequence[str]) -> None:
        self._note("cancel")
        self.jobs |= dict.fromkeys(job_ids, CANCELLED)

    def mark_in(self, script: Path) -> str:
        return script.read_text()

    def marked_jobs(self) -> dict[str, str]:
        self._note("marks")
        if not self.tells_marks:
            raise SchedulerSilentError("No such format.")
        return {job_id: mark for job_id, mark in self.marks.items() if not self.jobs[job_id].over}

    def ping(self) -> str:
        return "1"

    def _note(self, what: str) -> None:
        self.asked.append(what)
        if self.silent:
            raise SchedulerSilentError("It is away.")


class Link:
    """Workers that do what a test says."""

    address = "tls://here:1"

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.running: dict[Path, Callable[[ExecutionOutcome | Exception], None]] = {}
        self.calls: list[tuple[str, str]] = []

    def run(self, address: str, directory: Path, then: Callable[[ExecutionOutcome | Exception], None]) -> None:
        self.running[directory] = then

    def cancel(self, address: str, directory: Path) -> None:
        self.calls.append(("cancel", address))

    def retire(self, address: str) -> None:
        self.calls.append(("retire", address))

    def close(self) -> None:
        self.calls.append(("close", ""))


class Site:
    """A pool, its scheduler and its workers."""

    def __init__(self, directory: Path, **rules: float) -> None:
        self.scheduler = Scheduler()
        self.names: list[str] = []
        self.directory = directory
        self.links: list[Link] = []
        self.logs = directory / "logs"
        limits = Limits(
            PoolLimits(max_jobs=2, **{"poll_seconds": 0.05, "idle_seconds": 0, **rules}), 100, starts_at_once=1
        )
        self.pool = PoolThread(
            limits, self.scheduler, self._open, lambda _: self._write, file_delay_seconds=0.0, logs=self.logs
        )
        self.link = self.links[0]

    def _open(self, listener: Listener) -> Link:
        self.links.append(Link(listener))
        return self.links[-1]

    def _write(self, name: str, size: JobSize) -> Path:
        script = self.directory / f"{name}.sh"
        script.write_text(f"mark-of-{name}")
        self.names.append(name)
        return script

    def submit(self, directory: Path) -> None:
        self.pool.submit(Submission(transport="slurm", directory=directory), SIZE, HINT)

    def start(self, number: int = 1, address: str = "tls://node1:1") -> None:
        wait_until(lambda: str(number) in self.scheduler.jobs)
        self.scheduler.jobs[str(number)] = RUNNING
        self.link.listener.on_worker_connected(self.names[number - 1], address, 1.0)

    def ended(self) -> Ended:
        return wait_until(lambda: self.pool.wait(0.1))[0]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.pool.close(5)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Return the directory of an execution that is ready to run."""
    return Prepare(tmp_path / "scratch")()[0]


def running(site: Site, directory: Path) -> Callable[[ExecutionOutcome | Exception], None]:
    site.submit(directory)
    site.start()
    return wait_until(lambda: site.link.running.get(directory))


def test_an_execution_is_run_and_its_job_leaves(site: Site, directory: Path) -> None:
    running(site, directory)(outcome())
    end = site.ended()
    assert (end.submission.directory, end.outcome, end.meta["job_id"]) == (directory, outcome(), "1")
    wait_until(lambda: ("retire", "tls://node1:1") in site.link.calls)
    site.link.listener.on_worker_disconnected(site.names[0], "tls://node1:1")
    assert site.pool.wait(0.0) == []


def test_one_that_waits_is_cancelled_without_a_job(site: Site, directory: Path) -> None:
    site.submit(directory)
    site.pool.cancel(directory)
    told = site.ended().outcome
    assert told is not None
    assert told.failure is not None
    assert told.failure.kind is FailureKind.CANCELLED


def test_one_that_runs_is_stopped_by_its_worker(site: Site, directory: Path) -> None:
    running(site, directory)
    site.pool.cancel(directory)
    wait_until(lambda: ("cancel", "tls://node1:1") in site.link.calls)


def test_what_a_lost_worker_leaves_is_found_in_its_directory(site: Site, directory: Path) -> None:
    running(site, directory)(ConnectionError("gone"))
    ExecutionDirectory(directory).write_outcome(outcome())
    assert site.ended().outcome == outcome()


def test_the_end_of_a_job_is_explained_once(site: Site, directory: Path) -> None:
    running(site, directory)
    site.scheduler.jobs["1"] = FAILED
    assert site.ended().outcome is None
    cause = site.pool.explain(directory)
    assert cause is not None
    assert "SLURM job 1 ended on node1" in cause.message
    assert site.pool.explain(directory) is None


def test_a_node_that_failed_is_waited_for_until_its_executions_are_quiet(site: Site, directory: Path) -> None:
    running(site, directory)
    site.scheduler.jobs["1"] = NODE_FAIL
    ExecutionDirectory(directory).write_outcome(outcome(FailureKind.WORKER_LOST))
    assert site.ended().outcome is None


def test_a_submission_whose_answer_was_lost_is_found_by_its_mark(site: Site, directory: Path) -> None:
    site.scheduler.loses_answers = True
    site.submit(directory)
    wait_until(lambda: "marks" in site.scheduler.asked)
    site.start()
    wait_until(lambda: directory in site.link.running)
    assert len(site.scheduler.jobs) == 1


def test_the_end_of_the_output_of_a_job_is_shown(site: Site, directory: Path) -> None:
    site.logs.mkdir()
    (site.logs / "ref-1c-1.log").write_text("no such module\n")
    site.submit(directory)
    for number in range(1, 4):
        wait_until(lambda number=number: str(number) in site.scheduler.jobs)  # type: ignore[misc]
        site.scheduler.jobs[str(number)] = FAILED
    told = site.ended().outcome
    assert told is not None
    assert told.failure is not None
    assert "3 SLURM jobs" in told.failure.message


def test_a_scheduler_without_an_answer_is_asked_again(
    site: Site, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    running(site, directory)
    site.scheduler.silent = True
    wait_until(lambda: [words for words in caplog.messages if "did not report on its jobs" in words])
    site.scheduler.silent = False
    site.scheduler.jobs["1"] = FAILED
    assert site.ended().outcome is None


def test_the_scheduler_is_asked_no_more_often_than_the_setting_allows(tmp_path: Path, directory: Path) -> None:
    site = Site(tmp_path, poll_seconds=3600)
    running(site, directory)(ConnectionError("gone"))
    ExecutionDirectory(directory).write_outcome(outcome())
    assert site.ended().outcome == outcome()
    assert site.scheduler.asked.count("look") <= 1
    site.pool.close(5)


def test_closing_cancels_once_and_then_polls(tmp_path: Path, directory: Path) -> None:
    site = Site(tmp_path)
    running(site, directory)
    assert site.pool.close(5) == {"1"}
    assert site.scheduler.asked.count("cancel") == 1
    assert ("close", "") in site.link.calls


def test_closing_ends_a_job_that_may_have_been_submitted(tmp_path: Path, directory: Path) -> None:
    site = Site(tmp_path, poll_seconds=3600)
    site.scheduler.loses_answers = True
    site.submit(directory)
    wait_until(lambda: "1" in site.scheduler.jobs)
    assert site.pool.close(5) == {"1"}


def test_jobs_whose_end_is_not_confirmed_are_named(
    tmp_path: Path, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(tmp_path)
    running(site, directory)
    site.scheduler.silent = True
    assert site.pool.close(0.1) == set()
    assert [words for words in caplog.messages if "has not confirmed the end of job 1" in words]


def with_one_in_doubt(directory: Path, execution: Path) -> Site:
    """Return a site that runs an execution in job 1 and has taken a job 2 unheard, whose mark it does not tell."""
    site = Site(directory)
    running(site, execution)
    site.scheduler.tells_marks, site.scheduler.loses_answers = False, True
    for number in range(8):
        site.submit(directory / str(number))
    wait_until(lambda: "2" in site.scheduler.jobs)
    return site


def test_jobs_with_an_id_are_followed_where_marks_are_not_told(tmp_path: Path, directory: Path) -> None:
    site = with_one_in_doubt(tmp_path, directory)
    site.scheduler.jobs["1"] = FAILED
    assert site.ended().submission.directory == directory
    site.scheduler.tells_marks = True
    assert site.pool.close(5) == {"2"}


def test_jobs_with_an_id_are_ended_where_marks_are_not_told(tmp_path: Path, directory: Path) -> None:
    assert with_one_in_doubt(tmp_path, directory).pool.close(1) == {"1"}


class UntidySite(Site):
    """A site whose job scripts cannot be removed."""

    def _write(self, name: str, size: JobSize) -> Path:
        super()._write(name, size).rename(self.directory / "script")
        script = self.directory / f"{name}.sh"
        script.mkdir()
        return script


def test_a_script_that_cannot_be_removed_keeps_no_answer_back(
    tmp_path: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Scheduler, "mark_in", lambda _, script: script.name)
    site = UntidySite(tmp_path)
    running(site, directory)
    assert site.pool.close(5) == {"1"}


def test_an_error_of_the_thread_is_raised_for_waiting_callers(tmp_path: Path, directory: Path) -> None:
    site = Site(tmp_path)
    site.directory = tmp_path / "nowhere"
    site.submit(directory)
    with pytest.raises(FileNotFoundError):
        wait_until(lambda: site.pool.wait(0.1))
    site.pool.close(1)


class TestFiles:
    """What jobs and executions leave."""

    @pytest.mark.parametrize(
        ("job_id", "name"),
        [("7", "ref-8c-1.1G-1h-7.log"), ("7;cm2", "ref-7.log"), ("7.pbs1", "7.pbs1.OU"), ("7.pbs1", "ref.o7")],
    )
    def test_the_output_of_a_job_is_known_by_its_number(self, tmp_path: Path, job_id: str, name: str) -> None:
        (tmp_path / "ref-1c-17.log").write_text("another")
        assert output_of_job(job_id, tmp_path) is None
        (tmp_path / name).write_text("x" * 10_000 + "the end")
        printed = output_of_job(job_id, tmp_path)
        assert printed is not None
        assert printed.endswith("xthe end")
        assert len(printed) == 4096

    def test_without_a_directory_there_is_none(self, tmp_path: Path) -> None:
        assert output_of_job("7", tmp_path / "logs") is None

    def test_an_outcome_that_cannot_be_read_is_left_to_others(self, directory: Path) -> None:
        assert outcome_left(directory) is None
        (directory / "outcome.json").write_text("{")
        assert outcome_left(directory) is None
        assert Heartbeats(0).have_ceased([directory])
        assert is_silent(ExecutionDirectory(directory), 0)

    def test_signs_of_life_are_waited_for(self, directory: Path) -> None:
        heartbeats = Heartbeats(0)
        assert not heartbeats.have_ceased([directory])
        wait_until(lambda: heartbeats.have_ceased([directory]))
        heartbeats.keep([])
        assert not heartbeats.have_ceased([directory])
