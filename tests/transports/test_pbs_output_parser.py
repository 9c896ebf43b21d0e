"""`PbsCommands` against what real servers have answered, or are known to answer."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest

from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.transports.batch.schedulers.pbs.commands import PbsCommands
from climate_ref_prefect.transports.batch.schedulers.scheduler_port import (
    JobRecord,
    JobRefusedError,
    SchedulerJobState,
    SchedulerSilentError,
    SubmissionInDoubtError,
    SubmissionLimitError,
    UnreadAnswerError,
)
from tests.pbs.recording import Recording, recorded, write_program

RAN = "Job run at Mon Nov 23 at 06:50 on"
TIMEOUT, LOST, MEMORY = FailureKind.TIMEOUT, FailureKind.WORKER_LOST, FailureKind.OUT_OF_MEMORY


class Answering(Protocol):
    """Puts a program on PATH that gives these answers, and returns the file where its calls are noted."""

    def __call__(self, name: str, *answers: Recording) -> Path: ...


@pytest.fixture
def answering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Answering:
    """Replace PBS's commands by programs that repeat recorded answers."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    def answer(name: str, *answers: Recording) -> Path:
        write_program(tmp_path, name, *answers)
        return tmp_path / f"{name}.calls"

    return answer


def look(job_id: str) -> JobRecord:
    return PbsCommands().look([job_id])[job_id]


def answer(attributes: dict[str, object], job_id: str = "1.server") -> Recording:
    return Recording("qstat", 0, json.dumps({"Jobs": {job_id: attributes}}), "")


RECORDED = [
    ("qstat -f -F json 46.pbsvm", SchedulerJobState.RUNNING, None, f"R: {RAN} (pbsvm:ncpus=1:mem=204800kb)"),
    (
        "qstat -x -f -F json 46.pbsvm",
        *(SchedulerJobState.ENDED, None, f"F: {RAN} (pbsvm:ncpus=1:mem=204800kb) and failed (Exit_status 7)"),
    ),
    (
        "qstat -x -f -F json 47.pbsvm",
        *(SchedulerJobState.ENDED, TIMEOUT),
        f"F: {RAN} (pbsvm:ncpus=1:mem=204800kb) and exceeded resource walltime (Exit_status -29)",
    ),
    (
        "qstat -x -f -F json 48.pbsvm",
        *(SchedulerJobState.ENDED, MEMORY),
        f"F: {RAN} (pbsvm:ncpus=1:mem=102400kb) and exceeded resource mem (Exit_status -27)",
    ),
    (
        "qstat -x -f -F json 49.pbsvm",
        *(
            SchedulerJobState.ENDED,
            LOST,
            "F: Not Running: Not enough free nodes available and terminated (no Exit_status)",
        ),
    ),
    (
        "qstat -f -F json 50.pbsvm",
        *(
            SchedulerJobState.PENDING,
            None,
            "Q: Can Never Run: Insufficient amount of resource: ncpus (R: 64 A: 2 T: 2)",
        ),
    ),
]


@pytest.mark.parametrize(("command", "state", "kind", "words"), RECORDED)
def test_what_was_recorded_is_understood(
    answering: Answering, command: str, state: SchedulerJobState, kind: FailureKind | None, words: str
) -> None:
    answering("qstat", recorded(command))
    record = look(command.rpartition(" ")[2])
    assert (record.state, record.kind, record.words) == (state, kind, words)
    assert record.never == ("Can Never Run" in words)


def test_telemetry_of_a_recorded_job(answering: Answering) -> None:
    answering("qstat", recorded("qstat -x -f -F json 48.pbsvm"))
    record = look("48.pbsvm")
    assert record.meta == {"job_peak_rss_mb": 423508 / 1024, "job_cpu_seconds": 0, "job_wall_seconds": 12}
    assert record.node == "pbsvm"
    assert record.queue_wait_seconds == 0


ENDINGS = [
    ({"Exit_status": 0, "comment": "Job run and finished"}, None),
    ({"Exit_status": 1, "comment": "Job run and failed"}, None),
    ({"Exit_status": 128, "comment": "Job run and failed"}, None),
    ({"Exit_status": 255, "comment": "Job run and failed"}, None),
    ({"Exit_status": 137, "comment": "Job run and failed"}, FailureKind.KILLED),
    ({"Exit_status": 139, "comment": "Job run and failed"}, FailureKind.KILLED),
    ({"Exit_status": 143, "comment": "Job run and failed"}, FailureKind.KILLED),
    ({"Exit_status": 143, "comment": "Job run and terminated by user@host"}, LOST),
    ({"Exit_status": 265, "comment": "Job run and failed"}, FailureKind.KILLED),
    ({"Exit_status": 271, "comment": "Job run and terminated by user@host"}, LOST),
    ({"Exit_status": 0, "comment": "Job run and terminated by user@host"}, LOST),
    ({"Exit_status": -29, "comment": "Job run and terminated by user@host"}, TIMEOUT),
    ({"Exit_status": -28, "comment": "Job run and exceeded resource cput"}, TIMEOUT),
    ({"Exit_status": -26, "comment": "Job run and exceeded resource vmem"}, MEMORY),
    ({"Exit_status": -4, "comment": "Job run and failed"}, LOST),
    ({"comment": "Job run on (node)"}, LOST),
    (
        {
            "Exit_status": 271,
            "Resource_List": {"walltime": "01:00:00"},
            "resources_used": {"walltime": "01:00:02"},
        },
        TIMEOUT,
    ),
]


@pytest.mark.parametrize(("attributes", "kind"), ENDINGS)
def test_each_ending_has_its_kind(
    answering: Answering, attributes: dict[str, object], kind: FailureKind | None
) -> None:
    answering("qstat", answer({"job_state": "F", **attributes}))
    assert look("1.server").kind is kind


@pytest.mark.parametrize(
    ("letters", "state"),
    [("QHWTM", SchedulerJobState.PENDING), ("RSUEB", SchedulerJobState.RUNNING), ("FX", SchedulerJobState.ENDED)],
)
def test_every_state_is_understood(answering: Answering, letters: str, state: SchedulerJobState) -> None:
    for letter in letters:
        answering("qstat", answer({"job_state": letter}))
        assert look("1.server").state is state


def test_the_wait_is_from_queueing_to_the_start(answering: Answering) -> None:
    running: dict[str, object] = {"job_state": "R", "stime": "Tue Nov 24 01:00:05 2026", "exec_host": "a/0*2+b/1+a/3"}
    answering("qstat", answer({**running, "qtime": "Mon Nov 23 23:00:00 2026"}))
    assert look("1.server").queue_wait_seconds == 7205
    assert look("1.server").node == "a,b"
    answering("qstat", answer({**running, "eligible_time": "100:00:01"}))
    assert look("1.server").queue_wait_seconds == 360001
    answering("qstat", answer({"job_state": "Q", "qtime": "Mon Nov 23 23:00:00 2026"}))
    assert look("1.server").queue_wait_seconds is None


# An older printer of PBS escapes little, and leaves out quotes where C takes a value for a number.
FLAWED = r"""
welcome to the login node
{
    "timestamp":1600000000,
    "pbs_version":"20.0.1",
    "Jobs":{
        "1.server":{
            "Job_Name":inf,
            "job_state":"F",
            "Resource_List":{
                "walltime":"00:10:00"
            },
            "Variable_List":{
                "HEX":0x1F,
                "HALF":.5,
                "PATTERN":"\d+\s"quoted" C:\new",
                "NAN":nan
            },
            "comment":"Job run at now and failed",
            "Exit_status":3
        }
    }
}
"""


def test_json_that_is_none_is_read_all_the_same(answering: Answering) -> None:
    answering("qstat", Recording("qstat", 0, FLAWED, ""))
    assert look("1.server").words == "F: Job run at now and failed (Exit_status 3)"


def test_json_that_breaks_off_is_no_answer(answering: Answering) -> None:
    answering("qstat", Recording("qstat", 0, '{\n"Jobs":{', ""))
    with pytest.raises(SchedulerSilentError, match="cannot be read"):
        look("1.server")


def test_jobs_without_an_answer_of_qstat_are_left_out(answering: Answering) -> None:
    words = "qstat: Unknown Job Id 2.server\nConnection refused\nqstat: cannot connect to server server (errno=15010)"
    answering("qstat", replace(answer({"job_state": "R"}), code=255, stderr=words))
    records = PbsCommands().look(["1.server", "2.server", "3.server"])
    assert {job_id: record.state for job_id, record in records.items()} == {
        "1.server": SchedulerJobState.RUNNING,
        "2.server": SchedulerJobState.UNKNOWN,
    }


def test_an_empty_answer_is_no_answer(answering: Answering) -> None:
    answering("qstat", Recording("qstat", 1, "", ""))
    with pytest.raises(SchedulerSilentError, match="ended with code 1"):
        look("1.server")


REFUSALS = [
    (170, "qsub: Unknown queue", JobRefusedError),
    (188, "qsub: Job violates queue and/or server resource limits", JobRefusedError),
    (32, "qsub: the hook of the site wants a project", SubmissionInDoubtError),
    (160, "qsub: Access from host not allowed, or unknown host", SubmissionInDoubtError),
    (173, "qsub: Queue is not enabled", SchedulerSilentError),
    (160, "Unknown Host.\nqsub: cannot connect to server server (errno=15008)", SubmissionInDoubtError),
    (171, "qsub: Invalid credential", SubmissionInDoubtError),
    (111, "Connection refused", SubmissionInDoubtError),
    (38, "qsub: would exceed queue workq's per-user limit", SubmissionLimitError),
    (198, "qsub: Maximum number of jobs already in queue", SubmissionLimitError),
]


@pytest.mark.parametrize(("code", "words", "error"), REFUSALS)
def test_refusals_are_final_or_pass(answering: Answering, code: int, words: str, error: type[Exception]) -> None:
    answering("qsub", Recording("qsub", code, "", words))
    with pytest.raises(error) as raised:
        PbsCommands().submit(Path("job.sh"))
    assert type(raised.value) is error
    assert str(raised.value) == " ".join(words.split())


RECORDED_REFUSALS = [
    ("qsub -q nosuch -l walltime=00:01:00 s60.sh", 170),
    ("qsub -l select=1:ncpus=abc s60.sh", 166),
    ("qsub -l nosuch=1 s60.sh", 187),
    ("qsub -N a b s60.sh", 2),
    ("qsub -l walltime=bad s60.sh", 166),
]


@pytest.mark.parametrize(("command", "code"), RECORDED_REFUSALS)
def test_recorded_refusals_are_final(answering: Answering, command: str, code: int) -> None:
    answering("qsub", recorded(command, code))
    with pytest.raises(JobRefusedError):
        PbsCommands().submit(Path("job.sh"))


PRINTED = [
    ("27.server", "27.server"),
    ("Your project has 12 hours left.\n27.server", "27.server"),
    ("27.server\nEstimated cost: 12 SU", "27.server"),
    ("27.server\n12", "27.server"),
    ("12.5\n27.server\n", "27.server"),
    ("\x1b[1;32m--> all checks passed\x1b[0m\r\n\x1b[1m27.server.site.org\x1b[0m\r\n", "27.server.site.org"),
    ("Project 12345 has 500 hours left\n27", "27"),
    ("27\nEstimated cost:\n12.5\n", "27"),
]


@pytest.mark.parametrize(("printed", "job_id"), PRINTED)
def test_the_job_id_is_found_among_what_a_site_prints(answering: Answering, printed: str, job_id: str) -> None:
    answering("qsub", Recording("qsub", 0, printed, ""))
    assert PbsCommands().submit(Path("job.sh")) == job_id
    answering("qsub", Recording("qsub", 0, "have a nice day", printed))
    assert PbsCommands().submit(Path("job.sh")) == job_id


def test_words_on_the_standard_output_are_shown_beside_a_note_on_the_other(answering: Answering) -> None:
    answering("qsub", Recording("qsub", 170, "qsub: Unknown queue\n", "module loaded\n"))
    with pytest.raises(JobRefusedError, match="qsub: Unknown queue module loaded"):
        PbsCommands().submit(Path("job.sh"))


def test_of_a_very_long_answer_both_ends_are_shown(answering: Answering) -> None:
    answering("qsub", Recording("qsub", 0, f"first {'x' * 50_000} last", ""))
    with pytest.raises(UnreadAnswerError, match=r"first x+ \[48\d{3} characters left out\] x+ last"):
        PbsCommands().submit(Path("job.sh"))


@pytest.mark.parametrize("printed", ["submitted", "", "Project 12345 has 500 hours left"])
def test_an_answer_without_a_job_id_is_shown(answering: Answering, printed: str) -> None:
    answering("qsub", Recording("qsub", 0, printed, "have a nice day"))
    with pytest.raises(UnreadAnswerError, match=f"no job id: .*{printed}.*have a nice day"):
        PbsCommands().submit(Path("job.sh"))


WAITING = [
    ("Can Never Run: Insufficient amount of resource: ncpus (R: 64 A: 2 T: 2)", True),
    ("Can Never Run: Not enough total nodes available", True),
    ("Not Running: Insufficient amount of resource: ncpus (R: 9 A: 4 T: 12)", False),
    ("Not Running: Insufficient amount of resource: ncpus (R: 12 A: 0 T: 12)", False),
    ("Not Running: Insufficient amount of resource: ncpus (R: 16 A: 4 T: 12)", True),
    ("Not Running: Insufficient amount of resource: ncpus (R: 9 A: 4 T:\n\t 8)", True),
    ("Not Running: Insufficient amount of resource: mem (R: 300gb A: 4194304kb T: 200gb)", True),
    ("Not Running: Insufficient amount of resource: mem (R: 300gb A: 4194304kb T: 1tb)", False),
    ("Not Running: Insufficient amount of resource: mem (R: 2097152kb A: 0kb T: 1024mb)", True),
    ("Not Running: Insufficient amount of resource: mem (R: 1048576kb A: 0kb T: 1gb)", False),
    ("Not Running: Insufficient amount of server resource: lic (R: 3 A: 0 T: 2)", True),
    ("Not Running: Insufficient amount of queue resource: lic (R: 2 A: 0 T: 2)", False),
    ("Not Running: Insufficient amount of resource: fpga (R: 1.5 A: 0.5 T: 1)", True),
    ("Not Running: Insufficient amount of resource: fpga (R: 1.5 A: 0.5 T: 2)", False),
    ("Not Running: Insufficient amount of resource: mem (R: 512mw A: 1gb T: 1gb)", True),
    ("Not Running: Insufficient amount of resource: switch (R: blue A: red T: red)", False),
    ("Not Running: Insufficient amount of resource: ncpus", False),
    ("Not Running: Not enough free nodes available", False),
    ("Not Running: Queue not started.", False),
    ("Job held by user on Sat Nov 28 16:05:26 2026", False),
    ("", False),
]


@pytest.mark.parametrize(("comment", "never"), WAITING)
def test_more_than_there_is_in_all_is_never_had_and_more_than_is_free_is_waited_for(
    answering: Answering, comment: str, *, never: bool
) -> None:
    answering("qstat", answer({"job_state": "Q", "comment": comment}))
    assert look("1.server").never is never


UNREADABLE: list[dict[str, object]] = [
    {"Exit_status": "unknown", "Resource_List": "none", "resources_used": "none"},
    {"Exit_status": None, "resources_used": {"mem": "much", "cput": "N/A", "walltime": "-1"}},
    {"Exit_status": "9" * 5000, "resources_used": {"mem": "9" * 5000 + "kb", "cput": "9" * 5000, "walltime": "1-00"}},
    {"Exit_status": [], "stime": "yesterday", "qtime": 12, "eligible_time": "long", "exec_host": 7, "comment": None},
]


@pytest.mark.parametrize("attributes", UNREADABLE)
def test_values_that_cannot_be_read_are_left_out(answering: Answering, attributes: dict[str, object]) -> None:
    answering("qstat", answer({"job_state": "F", **attributes}))
    record = look("1.server")
    assert (record.state, record.kind, dict(record.meta)) == (SchedulerJobState.ENDED, LOST, {})


def test_a_job_that_cannot_be_read_spoils_no_other(answering: Answering) -> None:
    torn = '{\n\t"Jobs":\t{\n\t\t"1.server":\t{\n\t\t\t"job_state":\t"R",\n\t\t\tsomething else\n\t\t},\n'
    whole = '\t\t"2.server":\t{\n\t\t\t"job_state":\t"Q",\n\t\t\t"comment":\t"x"\n\t\t}\n\t}\n}\nthe end\n'
    answering("qstat", Recording("qstat", 0, torn + whole, ""))
    records = PbsCommands().look(["1.server", "2.server"])
    assert {job_id: record.state for job_id, record in records.items()} == {"2.server": SchedulerJobState.PENDING}


def test_a_command_that_is_not_there_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SchedulerSilentError, match="qsub"):
        PbsCommands().submit(Path("job.sh"))


def test_over_and_unknown_jobs_are_no_error_to_cancel_but_others_are(answering: Answering) -> None:
    answering("qdel", recorded("qdel 99999", 153), recorded("qdel 46.pbsvm", 35), Recording("", 0, "", ""))
    for _ in range(3):
        PbsCommands().cancel(["46.pbsvm"])
    answering("qdel", Recording("", 35, "", "qdel: Unauthorized Request 1.server\nqdel: Job has finished 2.server"))
    with pytest.raises(SchedulerSilentError, match="Unauthorized Request"):
        PbsCommands().cancel(["1.server", "2.server"])


def test_the_history_is_asked_for_until_the_site_is_known_to_have_none(answering: Answering) -> None:
    none = Recording("", 0, "", "qstat: PBS is not configured to maintain job history 1.server")
    running = answer({"job_state": "R"})
    calls = answering("qstat", none, running, running, recorded("qstat 46.pbsvm", 35), running)
    commands = PbsCommands()
    for _ in range(3):
        commands.look(["1.server"])
    asked = "-f -F json 1.server"
    assert calls.read_text().splitlines() == [f"-x {asked}", asked, asked, asked, f"-x {asked}"]
