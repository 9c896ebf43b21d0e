"""The answers of a real OpenPBS 23.06 about jobs and submissions, and how they are parsed."""

import json
import os
from pathlib import Path

import pytest

from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.transports.batch.schedulers.pbs.commands import PbsCommands
from climate_ref_prefect.transports.batch.schedulers.scheduler_port import (
    JobRefusedError,
    SchedulerJobState,
    SchedulerSilentError,
    SubmissionLimitError,
)
from tests.pbs.recording import JOBS, Recording, recorded_job, recorded_submissions, write_program

LOST, KILLED = FailureKind.WORKER_LOST, FailureKind.KILLED
PENDING, RUNNING, ENDED, UNKNOWN = (
    SchedulerJobState.PENDING,
    SchedulerJobState.RUNNING,
    SchedulerJobState.ENDED,
    SchedulerJobState.UNKNOWN,
)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory before all others on PATH."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return tmp_path


JOB_RECORDS = [
    ("held", "60", PENDING, None, "H: Job held by pbsuser on Sat Nov 28 16:05:26 2026"),
    ("pilot-killed", "10", ENDED, KILLED, "and failed (Exit_status 137)"),
    ("deleted-11", "11", ENDED, LOST, "and terminated by pbsuser@pbsvm (Exit_status 271)"),
    ("deleted-12", "12", ENDED, LOST, "and terminated by pbsuser@pbsvm (Exit_status 271)"),
    ("deleted-13", "13", ENDED, LOST, "and terminated by pbsuser@pbsvm (Exit_status 271)"),
    ("deleted-15", "15", ENDED, LOST, "and terminated by pbsuser@pbsvm (Exit_status 271)"),
    ("qdel", "8", ENDED, LOST, "and terminated by root@pbsvm (Exit_status 271)"),
    ("qdel-running", "8", RUNNING, None, "and terminated by root@pbsvm"),
    ("qdel-of-suspended", "155", ENDED, LOST, "and terminated by pbsuser@pbsvm (Exit_status 265)"),
    ("suspended", "54", RUNNING, None, "S: Job run at Sat Nov 28 at 16:04 on (pbsvm:ncpus=1:mem=425984kb)"),
    ("rerun", "62", RUNNING, None, "R: Job run at Sat Nov 28 at 16:07 on (pbsvm:ncpus=1:mem=425984kb)"),
    ("network-away", "68", RUNNING, None, "R: Job run at Sat Nov 28 at 16:12 on (node2:ncpus=1:mem=425984kb)"),
    ("node-lost-at-first", "66", RUNNING, None, "R: Job run at Sat Nov 28 at 16:10 on (node2:ncpus=1:mem=425984kb)"),
    ("node-lost", "66", ENDED, LOST, "(Exit_status -20)"),
    ("mom-restarted", "67", ENDED, LOST, "and failed (Exit_status -4)"),
    ("routed-and-rejected", "40", UNKNOWN, None, "Unknown Job Id 40.pbsvm"),
]


@pytest.mark.parametrize(("name", "number", "state", "kind", "words"), JOB_RECORDS)
def test_a_recorded_job_is_understood(
    programs: Path, name: str, number: str, *, state: SchedulerJobState, kind: FailureKind | None, words: str
) -> None:
    write_program(programs, "qstat", recorded_job(name))
    record = PbsCommands().look([f"{number}.pbsvm"])[f"{number}.pbsvm"]
    assert (record.state, record.kind, record.never) == (state, kind, False)
    assert record.words.endswith(words)
    assert not record.confirmed


def test_every_recorded_job_has_its_test() -> None:
    assert {path.stem for path in JOBS.glob("*.json")} == {name for name, *_ in JOB_RECORDS}


REFUSALS: dict[str, type[Exception]] = {
    "-q nosuch": JobRefusedError,
    "-q shortq": JobRefusedError,
    "-q smallq": JobRefusedError,
    "-q aclq": JobRefusedError,
    "-q offq": SchedulerSilentError,
    "-q oneq": SubmissionLimitError,
    "-q resq": SubmissionLimitError,
    "-q thrq": SubmissionLimitError,
    "-q routeq": JobRefusedError,
    "-q routeoff": JobRefusedError,
    "-q fromroute": JobRefusedError,
    "-l select=1:nosuch=3": JobRefusedError,
    "-l select=1:ncpus=1 -l ncpus=1": JobRefusedError,
    "-W group_list=root": JobRefusedError,
}
SUBMISSIONS = [*recorded_submissions("qsub-refusals"), *recorded_submissions("qsub-refusals-2")]


@pytest.mark.parametrize("recording", SUBMISSIONS, ids=lambda recording: recording.command.removeprefix("qsub "))
def test_a_recorded_submission_is_understood(programs: Path, recording: Recording) -> None:
    write_program(programs, "qsub", recording)
    if recording.code == 0:
        assert PbsCommands().submit(Path("job.sh")) == recording.stdout
        return
    error = next(error for options, error in REFUSALS.items() if f" {options} " in recording.command)
    with pytest.raises(error) as raised:
        PbsCommands().submit(Path("job.sh"))
    assert type(raised.value) is error


def test_a_server_that_is_down_takes_the_job_later(programs: Path) -> None:
    (recording,) = recorded_submissions("server-down")
    write_program(programs, "qsub", recording)
    with pytest.raises(SchedulerSilentError, match="cannot connect to server"):
        PbsCommands().submit(Path("job.sh"))


def test_waiting_jobs_are_waited_for_unless_there_is_too_little_of_something_in_all(programs: Path) -> None:
    comments: dict[str, str] = {}
    for entry in (JOBS / "waiting-jobs.txt").read_text().split("Job Id: ")[1:]:
        lines = [line.strip() for line in entry.splitlines()]
        if "job_state = Q" in lines:
            comments[lines[0]] = lines[-1].removeprefix("comment = ")
    jobs = {job_id: {"job_state": "Q", "comment": comment} for job_id, comment in comments.items()}
    write_program(programs, "qstat", Recording("qstat", 0, json.dumps({"Jobs": jobs}), ""))
    records = PbsCommands().look(list(jobs))
    assert [job_id for job_id, record in records.items() if record.never] == ["35.pbsvm"]
    assert {record.state for record in records.values()} == {PENDING}


def test_what_a_node_that_is_away_leaves_waiting_is_waited_for(programs: Path) -> None:
    text = (JOBS / "never-runs-transient.txt").read_text()
    comments = [" ".join(part.split("\n    etime")[0].split("\n#")[0].split()) for part in text.split("comment = ")[1:]]
    jobs = {f"{number}.pbsvm": {"job_state": "Q", "comment": comment} for number, comment in enumerate(comments)}
    assert any("(R: 9 A: 4 T: 12)" in comment for comment in comments)
    write_program(programs, "qstat", Recording("qstat", 0, json.dumps({"Jobs": jobs}), ""))
    assert not any(record.never for record in PbsCommands().look(list(jobs)).values())


def test_without_history_a_job_that_is_over_is_unknown(programs: Path) -> None:
    first, second = (part.partition("rc=") for part in (JOBS / "no-history.txt").read_text().split("qstat: ")[1:])
    answers = []
    for text, _, code in (first, second):
        complaint, brace, document = text.partition("{")
        answers.append(Recording("qstat", int(code), brace + document, f"qstat: {complaint}"))
    write_program(programs, "qstat", *answers)
    assert PbsCommands().look(["152.pbsvm"])["152.pbsvm"].state is UNKNOWN
