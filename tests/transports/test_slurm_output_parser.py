"""Parsing the output of `sbatch`, `squeue` and `sacct` at sites that print more, or less, than SLURM does."""

from collections.abc import Callable
from pathlib import Path

import pytest

from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.transports.batch.schedulers.scheduler_port import (
    JobRefusedError,
    SchedulerJobState,
    SchedulerSilentError,
    UnreadAnswerError,
)
from climate_ref_prefect.transports.batch.schedulers.slurm.commands import MARK, SlurmCommands
from climate_ref_prefect.transports.batch.schedulers.slurm.transport import SlurmTransport
from tests.transports.scheduler_programs import Program

COMMENT = MARK.partition("=")[2]
PENDING = "8|PENDING|Priority||2026-01-01T10:00:00|N/A"
RUNNING = "7|RUNNING|None|node1|2026-01-01T10:00:00|2026-01-01T10:00:05"
ENDED = "7|COMPLETED|None|node1|2026-01-01T10:00:00|2026-01-01T10:00:05"
ACCOUNT = "7|COMPLETED|0:0||00:01.5|10|node1|2026-01-01T10:00:00|2026-01-01T10:00:05"
Printing = Callable[..., None]


@pytest.fixture
def printing(program: Program, tmp_path: Path) -> Printing:
    """Write programs that print bytes, whatever they are asked."""

    def write(name: str, printed: str | bytes, *, code: int = 0, stream: int = 1) -> None:
        path = tmp_path / f"{name}.{stream}"
        path.write_bytes(printed if isinstance(printed, bytes) else printed.encode())
        program(name, f"cat {path} >&{stream}; exit {code}")

    return write


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """Write a job script with a mark."""
    path = tmp_path / "job.sh"
    path.write_text(f"#!/bin/sh\n#SBATCH {MARK}abc\n")
    return path


SUBMITTED = {
    "plain": ("4711\n", "4711"),
    "of a cluster": ("4711;cm2\n", "4711;cm2"),
    "welcome before": ("---\n   Welcome to Example3\n---\n--> Checking account...OK\n4711\n", "4711"),
    "warning before": ("sbatch: no partition given, using the default\n4711\n", "4711"),
    "note after": ("4711\nEstimated cost: 12 SU\n", "4711"),
    "long form": ("Submitted batch job 4711\n", "4711"),
    "long form of a cluster": ("Submitted batch job 4711 on cluster cm2\n", "4711;cm2"),
    "long form among words": ("[site] Submitted batch job 4711.\n12\n", "4711"),
    "colours": ("\x1b[1;32m--> OK\x1b[0m\n\x1b[1m4711\x1b[0m\n", "4711"),
    "a terminal's lines": ("checking...\r\n4711\r\n", "4711"),
    "numbers in other lines": ("Project 12345 has 500 hours left\n4711\n12 jobs are before it\n", "4711"),
    "no end of line": ("welcome\n4711", "4711"),
    "blanks": ("   4711  \n", "4711"),
    "another language": ("Grüße vom Rechenzentrum\n4711\n", "4711"),
    "not UTF-8": (b"Gr\xfc\xdfe\n4711\n", "4711"),
    "a number of its own after it, of no cluster": ("4711;cm2\n12\n", "4711;cm2"),
}


@pytest.mark.parametrize("what", SUBMITTED)
def test_the_number_is_found_among_what_a_site_prints(printing: Printing, script: Path, what: str) -> None:
    printed, job_id = SUBMITTED[what]
    printing("sbatch", printed)
    assert SlurmCommands().submit(script) == job_id


ON_STDERR = ["Submitted batch job 4711\n", "4711\n", "module loaded\nsbatch: Submitted batch job 4711\n"]


@pytest.mark.parametrize("printed", ON_STDERR)
def test_the_number_may_be_on_the_standard_error(printing: Printing, script: Path, printed: str) -> None:
    printing("sbatch", printed, stream=2)
    assert SlurmCommands().submit(script) == "4711"


def test_of_several_numbers_the_one_with_the_mark_is_the_jobs(printing: Printing, script: Path) -> None:
    printing("sbatch", "2026\n4711\n12\n")
    printing("squeue", f"12|{COMMENT}other\n4711|{COMMENT}abc\n4712|\n")
    assert SlurmCommands().submit(script) == "4711"
    printing("squeue", "controller is away", code=1)
    assert SlurmCommands().submit(script) == "12"


@pytest.mark.parametrize("printed", ["all is well", "Project 12345 has 500 hours left", "Job 4711 is in the queue", ""])
def test_without_a_number_what_was_printed_is_shown_and_the_job_is_found_by_its_mark(
    printing: Printing, script: Path, printed: str
) -> None:
    printing("sbatch", printed)
    commands = SlurmCommands()
    with pytest.raises(UnreadAnswerError, match=printed or "nothing"):
        commands.submit(script)
    printing("squeue", f"NOTE: maintenance\n8|another\n9|{COMMENT}abc\n")
    assert commands.marked_jobs() == {"9": "abc"}


def test_of_a_very_long_answer_both_ends_are_shown(printing: Printing, script: Path) -> None:
    printing("sbatch", f"first {'x' * 1_000_000} last")
    with pytest.raises(UnreadAnswerError, match=r"first x+ \[998\d{3} characters left out\] x+ last$") as caught:
        SlurmCommands().submit(script)
    assert len(str(caught.value)) < 3000


QUEUES = {
    "plain": f"{RUNNING}\n{PENDING}\n",
    "a notice": f"NOTE: maintenance on Monday\n{RUNNING}\n{PENDING}\n",
    "the name of the cluster": f"CLUSTER: cm2\n{RUNNING}\n{PENDING}\n",
    "a header": f"JOBID|STATE|REASON|NODELIST|SUBMIT_TIME|START_TIME\n{RUNNING}\n\n{PENDING}\n",
    "separators in a notice": f"a|b|c|d|e|f\n1|2\n{RUNNING}\n{PENDING}|\n".replace(f"{PENDING}|", PENDING),
    "a row that was cut off": f"9|RUNN\n{RUNNING}\n{PENDING}\n",
    "colours": f"\x1b[1m{RUNNING}\x1b[0m\n{PENDING}\n",
    "a terminal's lines": f"{RUNNING}\r\n{PENDING}\r\n",
}


@pytest.mark.parametrize("what", QUEUES)
def test_lines_that_are_no_rows_of_the_queue_are_skipped(printing: Printing, what: str) -> None:
    printing("squeue", QUEUES[what])
    states = {job_id: record.state for job_id, record in SlurmCommands(0).look(["7", "8"]).items()}
    assert states == {"7": SchedulerJobState.RUNNING, "8": SchedulerJobState.PENDING}


@pytest.mark.parametrize("row", ["7", "7|", "7|running?|x", "7|RUNNING|None"])
def test_a_job_with_an_unreadable_row_exists(printing: Printing, row: str) -> None:
    printing("squeue", f"{row}\n{PENDING}\n")
    printing("sacct", "")
    assert set(SlurmCommands(0).look(["7", "8"])) == {"8"}


PARTS = {
    "a task of an array": RUNNING.replace("7|", "7_1|", 1),
    "tasks that wait": PENDING.replace("8|", "7_[2-5%2]|", 1),
    "a component": RUNNING.replace("7|", "7+0|", 1),
    "a task that has ended beside one that runs": f"{ENDED}\n{RUNNING}\n{ENDED}".replace("7|", "7_1|", 1),
    "a job of another cluster with that number": f"CLUSTER: cm1\n{RUNNING}\nCLUSTER: cm2\n{ENDED}",
}


@pytest.mark.parametrize("what", PARTS)
def test_a_job_is_over_when_all_rows_of_its_number_are(printing: Printing, what: str) -> None:
    printing("squeue", PARTS[what])
    printing("sacct", "")
    assert not SlurmCommands(0).look(["7"])["7"].over


@pytest.mark.parametrize("number", ["7_1", "7+0", "7_[1]"])
def test_a_job_has_ended_when_its_parts_have(printing: Printing, number: str) -> None:
    printing("squeue", "slurm_load_jobs error: Invalid job id specified", code=1, stream=2)
    printing("sacct", ACCOUNT.replace("7|", f"{number}|", 1))
    assert SlurmCommands(0).look(["7"])["7"].words == "COMPLETED, exit code 0:0"


NO_ANSWERS = [
    "slurm_load_jobs error: Unable to contact slurm controller (connect failure)",
    "slurm_load_jobs error: Socket timed out on send/recv operation",
    "squeue: error: slurm_receive_msg: Zero Bytes were transmitted or received",
]


@pytest.mark.parametrize("words", NO_ANSWERS)
def test_a_queue_that_was_not_reported_is_not_empty_whatever_the_exit_code(printing: Printing, words: str) -> None:
    printing("squeue", words, stream=2)
    printing("sacct", "")
    with pytest.raises(SchedulerSilentError):
        SlurmCommands(0).look(["7"])


def test_a_cluster_that_does_not_know_a_job_does_not_hide_it(program: Program) -> None:
    unknown = 'echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1'
    program("squeue", f'echo "CLUSTER: cm2"; echo "{RUNNING}"; {unknown}')
    assert SlurmCommands(0, "cm1,cm2").look(["7"])["7"].state is SchedulerJobState.RUNNING


def test_a_cluster_that_does_not_answer_leaves_its_jobs_alone(program: Program) -> None:
    program("squeue", f'echo "{PENDING}"; echo "slurm_load_jobs error: Unable to contact slurm controller" >&2')
    program("sacct", ":")
    assert set(SlurmCommands(0).look(["7", "8"])) == {"8"}


REASONS = ["a|b", "Waiting|for|the site", "Grüße", "(null)", "QOSMaxJobsPerUserLimit|since Monday"]


@pytest.mark.parametrize("reason", REASONS)
def test_a_reason_may_have_any_text(printing: Printing, reason: str) -> None:
    printing("squeue", PENDING.replace("Priority", reason))
    record = SlurmCommands(0).look(["8"])["8"]
    assert (record.state, record.words, record.never) == (SchedulerJobState.PENDING, f"PENDING ({reason})", False)


def test_bytes_that_are_no_text_are_shown(printing: Printing) -> None:
    printing("squeue", PENDING.encode().replace(b"Priority", b"gr\xfcn"))
    assert SlurmCommands(0).look(["8"])["8"].words == r"PENDING (gr\xfcn)"


TIMES = [
    ("2026-01-01T10:00:00", "N/A"),
    ("Unknown", "Unknown"),
    ("", ""),
    ("INVALID", "2026-01-01T10:00:00"),
    ("0", ""),
]


@pytest.mark.parametrize(("submitted", "started"), TIMES)
def test_times_that_cannot_be_read_are_left_out(printing: Printing, submitted: str, started: str) -> None:
    printing("squeue", f"7|RUNNING|None|node1|{submitted}|{started}")
    record = SlurmCommands(0).look(["7"])["7"]
    assert (record.state, record.queue_wait_seconds) == (SchedulerJobState.RUNNING, None)


@pytest.mark.parametrize("node", ["", "None assigned", "(null)", "Unknown"])
def test_a_node_that_is_none_is_left_out(printing: Printing, node: str) -> None:
    printing("squeue", RUNNING.replace("node1", node))
    assert SlurmCommands(0).look(["7"])["7"].node == ""


MEASURED = {
    "plain": ("7.batch|COMPLETED|0:0|2048K|00:01.5|10|node1|x|y", {"job_peak_rss_mb": 2.0}),
    "per node": ("7.batch|COMPLETED|0:0|4Gn|00:01.5|10|node1|x|y", {"job_peak_rss_mb": 4096.0}),
    "no number": ("7.batch|COMPLETED|0:0|16?|00:01.5|10|node1|x|y", {}),
    "words": ("7.batch|COMPLETED|0:0|UNLIMITED|INVALID|Partition_Limit|node1|Unknown|Unknown", {}),
    "a notice": ("NOTE: upgrade", {}),
    "a row that was cut off": ("7.bat", {}),
    "another number of fields": ("8|COMPLETED|0:0", {}),
    "blanks around": (" 7.batch | COMPLETED | 0:0 | 2048K | 00:01.5 | 10 | node1 | x | y ", {"job_peak_rss_mb": 2.0}),
    "per processor": ("7.batch|COMPLETED|0:125|4000Mc|00:01.5|10|node1|x|y", {"job_peak_rss_mb": 4000.0}),
    "too long for a number": (f"7.batch|COMPLETED|:|{'9' * 5000}K|00:01.5|10|node1|x|y", {}),
}


@pytest.mark.parametrize("what", MEASURED)
def test_accounting_records_are_used_as_far_as_they_can_be_read(printing: Printing, what: str) -> None:
    line, measured = MEASURED[what]
    printing("squeue", ENDED)
    printing("sacct", f"{line}\n{ACCOUNT}\n{line}\n")
    record = SlurmCommands(0).look(["7"])["7"]
    assert (record.state, record.words) == (SchedulerJobState.ENDED, "COMPLETED, exit code 0:0")
    assert record.meta == {"job_state": "COMPLETED", "job_cpu_seconds": 1.5, "job_wall_seconds": 10, **measured}


CPU_TIMES = [
    ("1-02:03:04", 93784.0),
    ("02:03.456", 123.456),
    ("00:00:01", 1.0),
    ("", None),
    ("INVALID", None),
    ("UNLIMITED", None),
    ("1:x", None),
    ("9" * 5000, None),
    ("1-00:00:00", 86400.0),
    ("-1", None),
]


@pytest.mark.parametrize(("text", "seconds"), CPU_TIMES)
def test_times_of_accounts(printing: Printing, text: str, seconds: float | None) -> None:
    printing("squeue", ENDED)
    printing("sacct", ACCOUNT.replace("00:01.5", text))
    assert SlurmCommands(0).look(["7"])["7"].meta.get("job_cpu_seconds") == seconds


def test_steps_without_their_job_are_no_account_of_it(printing: Printing) -> None:
    printing("squeue", "slurm_load_jobs error: Invalid job id specified", code=1, stream=2)
    printing("sacct", "7.batch|COMPLETED|0:0|2048K|00:01.5|10|node1|x|y\n")
    record = SlurmCommands(0).look(["7"])["7"]
    assert (record.state, record.confirmed) == (SchedulerJobState.UNKNOWN, False)


@pytest.mark.parametrize("elapsed", ["INVALID", "-5", "", "9" * 5000])
def test_a_wall_time_that_is_no_number_is_left_out(printing: Printing, elapsed: str) -> None:
    printing("squeue", ENDED)
    printing("sacct", ACCOUNT.replace("|10|", f"|{elapsed}|"))
    assert SlurmCommands(0).look(["7"])["7"].meta == {"job_state": "COMPLETED", "job_cpu_seconds": 1.5}


def test_steps_alone_do_not_overrule_the_queue(printing: Printing) -> None:
    printing("squeue", ENDED.replace("COMPLETED", "OUT_OF_MEMORY"))
    printing("sacct", "7.batch|OUT_OF_MEMORY|0:125|2048K|00:01.5|10|node1|x|y\n")
    record = SlurmCommands(0).look(["7"])["7"]
    assert (record.state, record.confirmed, record.kind) == (SchedulerJobState.ENDED, True, FailureKind.OUT_OF_MEMORY)


AWAY = "sacct: error: slurm_persist_conn_open_without_init: failed to open persistent connection to host:dbd:6819"


@pytest.mark.parametrize("words", [AWAY, "sacct: error: Problem talking to the slurmdbd: Connection refused"])
def test_accounting_that_is_unavailable_for_a_moment_is_asked_again(printing: Printing, words: str) -> None:
    printing("squeue", ENDED)
    commands = SlurmCommands(0)
    printing("sacct", words, code=1, stream=2)
    assert commands.look(["7"])["7"].words == "COMPLETED"
    printing("sacct", ACCOUNT)
    assert commands.look(["7"])["7"].words == "COMPLETED, exit code 0:0"


REFUSED = "sbatch: error: Batch job submission failed: Invalid qos specification"


@pytest.mark.parametrize("code", [0, 1])
def test_a_refusal_is_one_whatever_the_exit_code_and_the_stream(program: Program, script: Path, code: int) -> None:
    for stream, other in ((1, 2), (2, 1)):
        program("sbatch", f'echo "module loaded" >&{other}; echo "{REFUSED}" >&{stream}; exit {code}')
        with pytest.raises(JobRefusedError, match="Invalid qos"):
            SlurmCommands().submit(script)


def test_a_job_that_is_over_does_not_hide_one_that_is_not_cancelled(printing: Printing) -> None:
    over = "scancel: error: Kill job error on job id 7: Invalid job id specified"
    away = "scancel: error: Kill job error on job id 8: Unable to contact slurm controller (connect failure)"
    printing("scancel", f"{over}\n", code=1, stream=2)
    SlurmCommands().cancel(["7"])
    printing("scancel", f"{over}\n{away}\n", code=1, stream=2)
    with pytest.raises(SchedulerSilentError, match="Unable to contact"):
        SlurmCommands().cancel(["7", "8"])


def test_a_refusal_that_is_printed_to_the_standard_output_is_understood(printing: Printing, script: Path) -> None:
    printing("sbatch", "sbatch: error: Batch job submission failed: Invalid qos specification\n", code=1)
    with pytest.raises(JobRefusedError, match="Invalid qos"):
        SlurmCommands().submit(script)


DIRECTIVES_OF_CLUSTERS = [
    "--clusters=cm2",
    "--clusters  cm2",
    "-Mcm2",
    "-M cm2  # the large one",
    '"--clusters=cm2"',
    "--clusters='cm2'",
    "--export=NONE --clusters=cm2",
    "--account=abc -M cm2",
]


class TestSeveralClusters:
    """A job is asked for on the cluster that `sbatch` has named."""

    @pytest.fixture(autouse=True)
    def _site(self, program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("SLURM_CLUSTERS", raising=False)
        self.calls = tmp_path / "calls"
        note = f'echo "${{0##*/}} $@" >> {self.calls}'
        here = 'case " $*" in *--clusters=cm2*) ;; *) echo "Invalid job id specified" >&2; exit 1;; esac'
        program("squeue", f'{note}\n{here}\necho "CLUSTER: cm2"\necho "{RUNNING}"')
        program("sacct", f'{note}\n{here}\necho "{ACCOUNT}"')
        program("scancel", f"{note}\n{here}")

    def asked(self, program: str) -> list[str]:
        calls = [line.partition(" ") for line in self.calls.read_text().splitlines()]
        return [rest for name, _, rest in calls if name == program]

    def test_its_cluster_is_kept_with_its_number(self, program: Program, script: Path) -> None:
        program("sbatch", 'echo "7;cm2"')
        commands = SlurmCommands(0)
        job_id = commands.submit(script)
        assert commands.look([job_id])[job_id].state is SchedulerJobState.RUNNING
        commands.cancel([job_id])
        assert self.asked("squeue")[0].startswith("--clusters=cm2 ")
        assert self.asked("squeue")[0].endswith("--jobs=7")
        assert self.asked("scancel") == ["--clusters=cm2 7"]

    def test_jobs_of_two_clusters_may_have_one_number(self, program: Program) -> None:
        records = SlurmCommands(0).look(["7;cm2", "7"])
        assert {job_id: record.state for job_id, record in records.items()} == {
            "7;cm2": SchedulerJobState.RUNNING,
            "7": SchedulerJobState.UNKNOWN,
        }
        assert [record.job_id for record in records.values()] == ["7;cm2", "7"]

    def test_a_number_alone_is_asked_for_where_directives_send_jobs(self) -> None:
        assert SlurmCommands(0, "cm2").look(["7"])["7"].state is SchedulerJobState.RUNNING

    @pytest.mark.parametrize("line", DIRECTIVES_OF_CLUSTERS)
    def test_the_cluster_is_found_in_every_form_of_the_directive(self, line: str) -> None:
        commands = SlurmTransport(directives=("--exclusive", line)).commands(patient=False)
        assert commands.look(["7"])["7"].state is SchedulerJobState.RUNNING

    def test_the_cluster_may_be_the_users_default_of_sbatch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SBATCH_CLUSTERS", "cm2")
        assert SlurmTransport().commands(patient=False).look(["7"])["7"].state is SchedulerJobState.RUNNING
        elsewhere = SlurmTransport(directives=("--exclusive --clusters=cm1",)).commands(patient=False)
        assert elsewhere.look(["7"])["7"].state is SchedulerJobState.UNKNOWN

    def test_a_job_whose_number_is_unknown_is_found_there(self, program: Program, script: Path) -> None:
        program("sbatch", "echo welcome")
        commands = SlurmCommands(0, "cm2")
        with pytest.raises(UnreadAnswerError):
            commands.submit(script)
        program("squeue", f'echo "CLUSTER: cm1"; echo "9|other"; echo "CLUSTER: cm2"; echo "9|{COMMENT}abc"')
        assert commands.marked_jobs() == {"9;cm2": "abc"}
