"""The handling of answers that a healthy SLURM does not give. Other programs give them in its place."""

from pathlib import Path

import pytest

from climate_ref_prefect.testing.processes import wait_until
from climate_ref_prefect.transports.batch.schedulers import scheduler_port
from climate_ref_prefect.transports.batch.schedulers.scheduler_port import (
    SchedulerJobState,
    SchedulerSilentError,
    SubmissionInDoubtError,
)
from climate_ref_prefect.transports.batch.schedulers.slurm.commands import MARK, SlurmCommands
from tests.transports.scheduler_programs import Program

FORGOTTEN = 'echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1'
ROW = "COMPLETED|0:0|4K|00:01|9|node1|2026-01-01T10:00:00|2026-01-01T10:00:05"


def test_without_sacct_the_end_is_read_from_the_queue(program: Program) -> None:
    program("squeue", 'echo "7|COMPLETED|None|node1|2026-01-01T10:00:00|2026-01-01T10:00:05"')
    record = SlurmCommands().look(["7"])["7"]
    assert (record.state, record.confirmed, record.queue_wait_seconds) == (SchedulerJobState.ENDED, True, 5.0)


def test_accounts_know_what_the_queue_has_forgotten(program: Program) -> None:
    program("squeue", FORGOTTEN)
    program("sacct", f'echo "7|{ROW}"')
    record = SlurmCommands().look(["7"])["7"]
    assert (record.state, record.confirmed) == (SchedulerJobState.ENDED, True)


def test_an_unknown_job_is_over_and_not_confirmed(program: Program) -> None:
    program("squeue", FORGOTTEN)
    record = SlurmCommands().look(["7"])["7"]
    assert (record.state, record.over, record.confirmed) == (SchedulerJobState.UNKNOWN, True, False)


@pytest.mark.slow
def test_accounts_that_have_missed_the_end_of_a_job_are_not_believed_for_ever(program: Program) -> None:
    program("squeue", FORGOTTEN)
    program("sacct", f'echo "7|{ROW.replace("COMPLETED", "RUNNING")}"')
    commands = SlurmCommands()
    assert not commands.look(["7"])["7"].over
    wait_until(lambda: commands.look(["7"])["7"].over)
    assert not commands.look(["7"])["7"].confirmed


def test_a_submission_that_is_not_answered_is_in_doubt_and_found_by_its_mark_when_it_shows(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler_port, "COMMAND_SECONDS", 0.2)
    script = tmp_path / "job.sh"
    script.write_text(f"#!/bin/sh\n#SBATCH {MARK}store-abc\n")
    program("sbatch", "exec sleep 60")
    commands = SlurmCommands()
    with pytest.raises(SubmissionInDoubtError, match="has not answered"):
        commands.submit(script)
    monkeypatch.setattr(scheduler_port, "COMMAND_SECONDS", 60.0)
    program("squeue", f'echo "8|another"; echo "9|{MARK.partition("=")[2]}store-abc"')
    assert commands.marked_jobs() == {"9": commands.mark_in(script)}


@pytest.mark.parametrize("code", [0, 1])
def test_jobs_without_an_answer_are_not_missing(program: Program, code: int) -> None:
    program("squeue", f'echo "slurm_load_jobs error: Unable to contact slurm controller" >&2; exit {code}')
    with pytest.raises(SchedulerSilentError, match="Unable to contact"):
        SlurmCommands().marked_jobs()
