"""LSF in one file, as a third party would write it: rendered, and run against programs that answer like it."""

import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest

from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.testing.executions import Prepare
from climate_ref_prefect.testing.processes import running_with, wait_until
from climate_ref_prefect.testing.transports.contract_driver import Allowances, Driving, kind_of
from climate_ref_prefect.transports.batch.schedulers.scheduler_port import JobRefusedError
from climate_ref_prefect.transports.batch.settings.job_sizing import Sizing
from climate_ref_prefect.transports.batch.settings.pool_limits import PoolLimits
from tests.transports.lsf_transport import MARK, LsfCommands, LsfTransport

_EMULATOR: Final = '''#!{python} -IS
"""Answers like LSF, from a directory in which each job has a file."""
import json, os, pathlib, signal, subprocess, sys
jobs = pathlib.Path({jobs!r})
program, *arguments = pathlib.Path(sys.argv[0]).name, *sys.argv[1:]

def rows():
    for path in sorted(jobs.glob("*.json")):
        job = json.loads(path.read_text())
        over = (jobs / (path.stem + ".exit")).exists()
        killed = (jobs / (path.stem + ".killed")).exists()
        yield {{"JOBID": path.stem, "STAT": ("EXIT" if killed else "DONE") if over else "RUN",
               "EXIT_REASON": "TERM_OWNER: job killed by owner" if killed else "", "EXEC_HOST": "node1",
               "JOB_DESCRIPTION": job["description"], "PID": job["pid"]}}

if program == "bsub" and arguments == ["-V"]:
    print("IBM Spectrum LSF 10.1", file=sys.stderr)
elif program == "bsub":
    script = sys.stdin.read()
    options = [line.split(maxsplit=1)[1] for line in script.splitlines() if line.startswith("#BSUB")]
    if any(option.startswith("-q") and option.split()[1] != "normal" for option in options):
        sys.exit("fast: No such queue. Job not submitted.")
    number = str(len(list(jobs.glob("*.json"))) + 1)
    (jobs / (number + ".sh")).write_text(script + f"\\n")
    wrapper = 'sh "$0.sh" > "$0.log" 2>&1; echo $? > "$0.exit"'
    environment = {{**os.environ, "LSB_JOBID": number, "LSB_HOST": "node1"}}
    ended = subprocess.Popen(["sh", "-c", wrapper, str(jobs / number)], env=environment, start_new_session=True,
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    description = next((option[4:] for option in options if option.startswith("-Jd ")), "")
    (jobs / (number + ".json")).write_text(json.dumps({{"pid": ended.pid, "description": description}}))
    print(f"Job <{{number}}> is submitted to default queue <normal>.")
elif program == "bjobs":
    wanted = [argument for argument in arguments if argument.isdigit()]
    alive = [row for row in rows() if "-a" in arguments or row["STAT"] == "RUN"]
    print(json.dumps({{"RECORDS": [row for row in alive if not wanted or row["JOBID"] in wanted]}}))
elif program == "bkill":
    for row in rows():
        if row["JOBID"] in arguments and row["STAT"] == "RUN":
            (jobs / (row["JOBID"] + ".killed")).touch()
            command = ["pgrep", "-g", str(row["PID"]), "-f", "batch.pilot"]
            for pid in subprocess.run(command, capture_output=True, text=True).stdout.split():
                os.kill(int(pid), signal.SIGTERM)
'''


@pytest.fixture
def lsf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put programs on PATH that answer like LSF; return the directory of their jobs."""
    jobs, programs = tmp_path / "jobs", tmp_path / "programs"
    jobs.mkdir()
    programs.mkdir()
    for name in LsfCommands.programs:
        (programs / name).write_text(_EMULATOR.format(python=sys.executable, jobs=str(jobs)))
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    return jobs


@pytest.fixture
def transport(tmp_path: Path) -> LsfTransport:
    return LsfTransport(
        rules=PoolLimits(max_jobs=2, idle_seconds=5, poll_seconds=1),
        sizing=Sizing(headroom_mb=512),
        shared_directory=tmp_path / "shared",
        interface="lo",
        outcome_patience_seconds=2,
    )


def test_its_job_script(transport: LsfTransport) -> None:
    script = transport.render(ResourceHint(memory_mb=1500, cpu=2, wall_clock=timedelta(minutes=10))).splitlines()
    for line in ("#BSUB -n 2", "#BSUB -M 2048", "#BSUB -W 00:16", "#BSUB -rn"):
        assert line in script, script
    assert 'export REF_PREFECT_JOB_ID="${LSB_JOBID:-}"' in script
    assert 'export REF_PREFECT_JOB_NODE="${LSB_HOST:-${HOSTNAME:-}}"' in script


@pytest.mark.slow
class TestLsf:
    """Nothing but the one file makes it run."""

    @pytest.fixture
    def driving(self, lsf: Path, transport: LsfTransport) -> Iterator[Driving]:
        with Driving(transport, Allowances(timeout_seconds=60, close_seconds=20)) as driving:
            yield driving
        wait_until(lambda: not running_with("climate_ref_prefect.transports.batch.dask.pilot_worker", transport.shared))

    def test_executions_run_in_its_jobs(self, driving: Driving, prepare: Prepare) -> None:
        outcomes = driving.run_all([prepare("environment"), prepare("own-error")])
        assert [kind_of(outcome) for outcome in outcomes] == [None, FailureKind.DIAGNOSTIC_ERROR]
        assert {outcome.telemetry.transport_meta["job_id"] for outcome in outcomes} <= {"1", "2"}

    def test_the_claim_has_the_job_so_that_recovery_asks_the_scheduler(
        self, driving: Driving, prepare: Prepare, transport: LsfTransport
    ) -> None:
        directory, resources = prepare("wait-to-go")
        future = driving.start(directory, resources)
        driving.wait_for(directory / "output" / "started")
        claim = ExecutionDirectory(directory).read_claim()
        assert claim is not None
        assert claim.job_id == "1"
        assert transport.is_over(directory) is False
        (directory / "output" / "go").touch()
        assert future.result(60).succeeded
        driving.close()
        assert wait_until(lambda: transport.is_over(directory))

    def test_what_its_scheduler_refuses_for_good(self, lsf: Path, transport: LsfTransport, tmp_path: Path) -> None:
        script = tmp_path / "job.sh"
        script.write_text("#BSUB -q fast\n:\n")
        with pytest.raises(JobRefusedError, match="No such queue"):
            transport.commands().submit(script)

    def test_its_jobs_are_found_by_their_marks(self, lsf: Path, transport: LsfTransport, tmp_path: Path) -> None:
        script = tmp_path / "job.sh"
        script.write_text(f"#BSUB {MARK}store-abc\nsleep 2\n")
        commands = transport.commands()
        assert commands.mark_in(script) == "store-abc"
        job_id = commands.submit(script)
        assert commands.marked_jobs() == {job_id: "store-abc"}
        wait_until(lambda: commands.marked_jobs() == {})
