"""`PbsCommands` against the emulator, from submission to the end."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest

from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.testing.processes import wait_until
from climate_ref_prefect.transports.batch.schedulers.pbs.commands import MARK, PbsCommands
from climate_ref_prefect.transports.batch.schedulers.scheduler_port import (
    BatchScheduler,
    JobRecord,
    JobRefusedError,
    SchedulerJobState,
    SchedulerSilentError,
    SubmissionLimitError,
)
from tests.pbs.cluster import PbsCluster
from tests.pbs.settings import GADI, QueueSettings, Settings

QUICK = Settings(kill_delay_seconds=0.2, report_seconds=0.0)
TIMEOUT, LOST, MEMORY = FailureKind.TIMEOUT, FailureKind.WORKER_LOST, FailureKind.OUT_OF_MEMORY


class Starting(Protocol):
    """Starts a cluster whose commands are on PATH."""

    def __call__(self, settings: Settings) -> PbsCluster: ...


@pytest.fixture
def starting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Starting]:
    """Start clusters for this test alone, whose jobs leave their output in its directory."""
    monkeypatch.chdir(tmp_path)
    with ExitStack() as stack:

        def start(settings: Settings) -> PbsCluster:
            cluster = stack.enter_context(PbsCluster(settings))
            for name, value in cluster.environment.items():
                monkeypatch.setenv(name, value)
            return cluster

        yield start


def script(cluster: PbsCluster, text: str) -> Path:
    path = cluster.home / "job.sh"
    path.write_text(f"#!/bin/bash\n#PBS -N job -r n\n{text}\n")
    return path


def end_of(commands: PbsCommands, job_id: str) -> JobRecord:
    wait_until(lambda: commands.look([job_id])[job_id].over)
    return commands.look([job_id])[job_id]


def test_it_is_a_batch_scheduler() -> None:
    scheduler: BatchScheduler = PbsCommands()
    assert scheduler.name == "PBS"


OWN_ENDINGS: Sequence[tuple[str, FailureKind | None, str]] = [
    ("exit 0", None, "and finished (Exit_status 0)"),
    ("exit 4", None, "and failed (Exit_status 4)"),
    ("kill -KILL $$", FailureKind.KILLED, "and failed (Exit_status 265)"),
    ("#PBS -l walltime=1\nsleep 60", TIMEOUT, "and exceeded resource walltime (Exit_status -29)"),
    (
        "#PBS -l select=1:ncpus=1:mem=40mb\nhead -c 99000000 /dev/zero | tail | sleep 60",
        *(MEMORY, "and exceeded resource mem (Exit_status -27)"),
    ),
]


@pytest.mark.parametrize(("text", "kind", "words"), OWN_ENDINGS)
def test_jobs_of_the_emulator_from_submission_to_their_end(
    starting: Starting, text: str, kind: FailureKind | None, words: str
) -> None:
    cluster = starting(replace(QUICK, enforce_memory=True))
    commands = PbsCommands()
    record = end_of(commands, commands.submit(script(cluster, text)))
    assert (record.state, record.kind) == (SchedulerJobState.ENDED, kind)
    assert record.words.endswith(words)
    assert record.node == "pbsvm"
    assert record.queue_wait_seconds is not None
    assert {"job_peak_rss_mb", "job_cpu_seconds", "job_wall_seconds"} == set(record.meta)


def test_cancelled_jobs_of_the_emulator(starting: Starting) -> None:
    cluster = starting(QUICK)
    commands = PbsCommands()
    path = script(cluster, "#PBS -l ncpus=2\nsleep 60")
    job_ids = [commands.submit(path) for _ in range(3)]
    assert [record.state for record in commands.look(job_ids).values()] == ["running", "pending", "pending"]
    cluster.misbehave.start_nothing()
    commands.cancel(job_ids)
    records = [end_of(commands, job_id) for job_id in job_ids]
    assert [record.kind for record in records] == [LOST] * 3
    assert "and terminated by" in records[0].words
    commands.cancel(job_ids)


@pytest.mark.parametrize("empty_json", [True, False])
def test_without_history_an_ended_job_is_gone(starting: Starting, empty_json: bool) -> None:  # noqa: FBT001 - a parameter of the test
    cluster = starting(replace(QUICK, history=False, empty_json=empty_json))
    commands = PbsCommands()
    running = commands.submit(script(cluster, "sleep 60"))
    gone = commands.submit(script(cluster, "true"))
    wait_until(lambda: cluster.job(gone).finished)
    records = commands.look([gone, running])
    assert (records[gone].state, records[gone].kind) == (SchedulerJobState.UNKNOWN, None)
    assert records[gone].words == f"Unknown Job Id {gone}"
    assert records[running].state is SchedulerJobState.RUNNING


def test_a_lost_node_is_a_lost_worker(starting: Starting) -> None:
    cluster = starting(QUICK)
    commands = PbsCommands()
    job_id = commands.submit(script(cluster, "sleep 60"))
    cluster.misbehave.fail_node(job_id)
    record = commands.look([job_id])[job_id]
    assert (record.state, record.kind) == (SchedulerJobState.ENDED, LOST)
    assert record.words.endswith("(no Exit_status)")


def test_a_server_that_is_down_is_asked_again_later(starting: Starting) -> None:
    cluster = starting(QUICK)
    commands = PbsCommands()
    path = script(cluster, "sleep 60")
    job_id = commands.submit(path)
    cluster.misbehave.go_down()
    for ask in (lambda: commands.submit(path), lambda: commands.look([job_id]), commands.ping):
        with pytest.raises(SchedulerSilentError, match="cannot connect to server pbsvm"):
            ask()
    with pytest.raises(SchedulerSilentError, match="Couldn't connect to cluster: pbsvm"):
        commands.cancel([job_id])
    cluster.misbehave.come_back()
    assert commands.look([job_id])[job_id].state is SchedulerJobState.RUNNING
    assert commands.ping() == "23.06.06"


def test_refusals_of_the_emulator(starting: Starting) -> None:
    queues = (QueueSettings("workq", max_queued=1, max_memory_mb=100), QueueSettings("closed", enabled=False))
    cluster = starting(replace(QUICK, queues=queues))
    commands = PbsCommands()
    for directive in ("-q nosuch", "-l select=1:mem=1gb", "-l select=1:ncpus=x", "-l jobfs=1gb"):
        with pytest.raises(JobRefusedError, match="qsub: "):
            commands.submit(script(cluster, f"#PBS {directive}\nsleep 60"))
    with pytest.raises(SchedulerSilentError, match="not enabled"):
        commands.submit(script(cluster, "#PBS -q closed\nsleep 60"))
    path = script(cluster, "sleep 60")
    commands.submit(path)
    with pytest.raises(SubmissionLimitError, match="per-user limit"):
        commands.submit(path)
    cluster.misbehave.refuse_every(1)
    with pytest.raises(SchedulerSilentError, match="shutting down"):
        commands.submit(path)


def test_a_job_in_the_dialect_of_gadi(starting: Starting) -> None:
    cluster = starting(replace(GADI, kill_delay_seconds=0.2))
    commands = PbsCommands()
    with pytest.raises(JobRefusedError, match="select"):
        commands.submit(script(cluster, "#PBS -l select=1:ncpus=1"))
    asked = "#PBS -l ncpus=1,mem=1GB,jobfs=1GB,walltime=00:10:00 -l storage=gdata/xy12"
    record = end_of(commands, commands.submit(script(cluster, asked)))
    assert record.words.endswith("and finished (Exit_status 0)")


def test_jobs_are_found_by_their_marks(starting: Starting) -> None:
    cluster = starting(QUICK)
    commands = PbsCommands()
    path = script(cluster, f"#PBS -v A=1,{MARK}=store1-abc,B=2\nsleep 60")
    assert commands.mark_in(path) == "store1-abc"
    job_id = commands.submit(path)
    other = script(cluster, "sleep 60")
    assert commands.mark_in(other) == ""
    commands.submit(other)
    assert commands.marked_jobs() == {job_id: "store1-abc"}
    commands.cancel([job_id])
    wait_until(lambda: commands.marked_jobs() == {})
    cluster.misbehave.go_down()
    with pytest.raises(SchedulerSilentError, match="cannot connect"):
        commands.marked_jobs()


def test_without_any_job_none_has_a_mark(starting: Starting) -> None:
    starting(QUICK)
    assert PbsCommands().marked_jobs() == {}
