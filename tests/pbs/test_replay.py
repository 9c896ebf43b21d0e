"""The emulator answers what a real OpenPBS has answered to the same commands."""

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from climate_ref_prefect.testing.processes import wait_until
from tests.pbs.cluster import PbsCluster
from tests.pbs.recording import OPENPBS, Recording, read_recordings
from tests.pbs.settings import NodeSettings, Settings

pytestmark = pytest.mark.slow
RECORDINGS = read_recordings()
NUMBER_OF_ENVIRONMENT_JOB = 53
SCRIPTS = {
    "e7.sh": "sleep 1; exit 7",
    "s60.sh": "sleep 60",
    "mem.sh": "sleep 3; head -c 200000000 /dev/zero | tail",  # all of it is one line
}
OF_SUBMITTER = {
    "LANG": "C.UTF-8",
    "LOGNAME": "pbsuser",
    "PATH": "/opt/pbs/bin:/usr/local/bin:/usr/bin:/bin",
    "SHELL": "/bin/bash",
}
VARIES = [
    (r"[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}", "<moment>"),
    (r"Job run at \w+ \w+ \d+ at \d\d:\d\d", "Job run at <moment>"),
    (r'("(?:timestamp|history_timestamp|session_id)":\t)\d+', r"\1<number>"),
    (
        r'("(?:cput|cpupercent|mem|vmem|walltime)":\t)"?[\w:]+"?(?=,?\n(?:.*\n){0,5}?\t\t\t},\n\t\t\t"job_state")',
        r"\1<used>",
    ),
    (r"walltime \d+ exceeded", "walltime <used> exceeded"),
    (r"PBS_JOBCOOKIE=[0-9A-F]{32}", "PBS_JOBCOOKIE=<cookie>"),
    (r"PBS_NODEFILE=\S+", "PBS_NODEFILE=<file>"),
]


@pytest.fixture(scope="module")
def answers() -> Iterator[dict[int, Recording]]:
    """Give every recorded command to a cluster like the one that was recorded, in order."""
    settings = Settings(
        user="pbsuser",
        first_job=46,
        nodes=(NodeSettings("pbsvm", ncpus=2),),
        enforce_memory=True,
        kill_delay_seconds=0.5,
        report_seconds=60,  # the recording looked before PBS had heard of the job's start
    )
    with PbsCluster(settings) as cluster:
        for name, text in SCRIPTS.items():
            (cluster.home / name).write_text(text + "\n")
        yield {number: answer(cluster, recording) for number, recording in enumerate(RECORDINGS)}


def answer(cluster: PbsCluster, recording: Recording) -> Recording:
    wait_as_the_recorder_did(cluster, recording)
    command = recording.command.replace("$HOME", str(cluster.home))
    program, *arguments = shlex.split(command)
    where = str(Path(cluster.environment["PATH"].partition(os.pathsep)[0]) / program)
    ended = subprocess.run(
        [where if program.startswith("q") else program, *arguments],
        cwd=cluster.home,
        env={**cluster.environment, **OF_SUBMITTER, "HOME": str(cluster.home), "PWD": str(cluster.home)},
        capture_output=True,
        text=True,
        check=False,
    )
    texts = (text.replace(str(cluster.home), "/home/pbsuser") for text in (ended.stdout, ended.stderr))
    return Recording(recording.command, ended.returncode, *(text.rstrip("\n") for text in texts))


def wait_as_the_recorder_did(cluster: PbsCluster, recording: Recording) -> None:
    finished = "has finished" in recording.stderr or re.search(r'"F"| F workq', recording.stdout)
    named = re.findall(r"\d+\.pbsvm", recording.command) if finished else []
    if recording.command.startswith(("cat", "grep")) or "-N big" in recording.command:
        named = [job.job_id for job in cluster.jobs()]
    wait_until(lambda: all(cluster.job(job_id).finished for job_id in named))
    while f"{NUMBER_OF_ENVIRONMENT_JOB}." in recording.stdout and len(cluster.jobs()) < NUMBER_OF_ENVIRONMENT_JOB - 46:
        cluster.submit("-N", "unrecorded", "--", "/bin/true")


def without_what_varies(text: str) -> str:
    for pattern, replacement in VARIES:
        text = re.sub(pattern, replacement, text)
    return text


@pytest.mark.parametrize("number", range(len(RECORDINGS)), ids=lambda number: RECORDINGS[number].command)
def test_the_answer_is_the_recorded_one(answers: dict[int, Recording], number: int) -> None:
    given, recorded = answers[number], RECORDINGS[number]
    assert without_what_varies(given.stdout) == without_what_varies(recorded.stdout)
    assert given.stderr == recorded.stderr
    assert given.code == recorded.code


def test_everything_that_was_recorded_is_replayed() -> None:
    assert [f"$ {recording.command}" for recording in RECORDINGS] == [
        line for line in OPENPBS.read_text().splitlines() if line.startswith("$ ")
    ]
