"""The faults that the emulator can inject, and that nothing of them remains."""

import subprocess
import sys
from pathlib import Path

import pytest

from climate_ref_prefect.testing.processes import wait_until
from tests.pbs.cluster import PbsCluster
from tests.pbs.conftest import QUICK, process_noted

ROOT = Path(__file__).parents[2]
SLEEP = ("--", "/bin/sleep", "60")
DOWN = "Connection refused\n{}: cannot connect to server pbsvm (errno=15010)\n"


def test_a_server_that_is_down_is_distinguished_and_comes_back(cluster: PbsCluster) -> None:
    job_id = cluster.submit(*SLEEP)
    cluster.misbehave.go_down()
    answers = {name: cluster.run(name, job_id) for name in ("qsub", "qstat", "qdel")}
    assert {name: answer.returncode for name, answer in answers.items()} == {"qsub": 162, "qstat": 255, "qdel": 162}
    assert answers["qsub"].stderr == DOWN.format("qsub")
    assert answers["qstat"].stderr == DOWN.format("qstat")
    assert answers["qdel"].stderr == "Connection refused\nCouldn't connect to cluster: pbsvm\n"
    assert cluster.job(job_id).state == "R"
    cluster.misbehave.come_back()
    assert cluster.run("qstat", job_id).returncode == 0


def test_a_slow_server_answers_late(cluster: PbsCluster) -> None:
    cluster.misbehave.answer_after(60)
    command = subprocess.Popen(["qstat"], env=cluster.environment)
    with pytest.raises(subprocess.TimeoutExpired):
        command.wait(0.5)
    command.kill()
    command.wait()


def test_every_nth_submission_is_refused(cluster: PbsCluster) -> None:
    cluster.misbehave.start_nothing()
    cluster.misbehave.refuse_every(3)
    answers = [cluster.run("qsub", *SLEEP) for _ in range(6)]
    assert [answer.returncode for answer in answers] == [0, 0, 212, 0, 0, 212]
    assert answers[2].stderr == "qsub: Request not allowed: Server shutting down\n"


def test_waiting_jobs_wait_as_long_as_it_is_wanted(cluster: PbsCluster) -> None:
    cluster.misbehave.start_nothing()
    job_id = cluster.submit(*SLEEP)
    assert cluster.job(job_id).state == "Q"
    cluster.misbehave.start_again()
    assert cluster.job(job_id).state == "R"


def test_a_held_job_waits_for_its_release(cluster: PbsCluster) -> None:
    held_at_once = cluster.submit("-h", *SLEEP)
    assert cluster.job(held_at_once).state == "H"
    cluster.misbehave.release(held_at_once)
    assert cluster.job(held_at_once).state == "R"
    cluster.misbehave.start_nothing()
    later = cluster.submit(*SLEEP)
    cluster.misbehave.hold(later)
    assert cluster.job(later).state == "H"


def test_a_job_that_is_queued_again_runs_a_second_time(cluster: PbsCluster) -> None:
    job_id = cluster.submit(*SLEEP)
    before = cluster.job(job_id)
    cluster.misbehave.requeue(job_id)
    after = cluster.job(job_id)
    assert (before.run_count, after.run_count) == (1, 2)
    assert before.session_id != after.session_id


def test_a_job_that_forbids_it_is_not_queued_again(cluster: PbsCluster) -> None:
    job_id = cluster.submit("-r", "n", *SLEEP)
    with pytest.raises(ValueError, match="job is not rerunnable"):
        cluster.misbehave.requeue(job_id)


@pytest.mark.parametrize(("rerunnable", "state"), [("n", "F"), ("y", "R")])
def test_a_failed_node_ends_a_job_without_a_message_or_has_it_run_again(
    cluster: PbsCluster, rerunnable: str, state: str
) -> None:
    job_id = cluster.submit("-r", rerunnable, *SLEEP)
    cluster.misbehave.fail_node(job_id)
    job = cluster.job(job_id)
    assert (job.state, job.exit_status) == (state, None)
    assert job.run_count == (2 if rerunnable == "y" else 1)
    assert str(job.comment).endswith("(pbsvm:ncpus=1)")


def test_a_forgotten_job_is_unknown(cluster: PbsCluster) -> None:
    job_id = cluster.submit("--", "/bin/true")
    wait_until(lambda: cluster.job(job_id).finished)
    cluster.misbehave.forget(job_id)
    assert cluster.run("qstat", "-x", job_id).returncode == 153


def test_nothing_remains_not_even_what_has_detached_itself_and_forgot_its_environment() -> None:
    with PbsCluster(QUICK) as cluster:
        cluster.submit(stdin="(setsid env -i sh -c 'echo $$ > pid; exec sleep 60' &); sleep 0.1; touch done")
        wait_until((cluster.home / "done").exists)
        detached = process_noted(cluster.home / "pid")
        directory = cluster.directory
        cluster.submit(stdin="trap '' TERM; while :; do sleep 1; done")
        assert detached.alive
    assert not directory.exists()
    assert not detached.alive


def test_a_server_whose_tests_have_ended_ends_its_jobs_and_itself() -> None:
    program = (
        "import sys, time; from tests.pbs.cluster import PbsCluster; cluster = PbsCluster().__enter__();"
        "cluster.submit(stdin='echo $$ > pid; exec sleep 60'); print(cluster.directory, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True) as tests:
        assert tests.stdout is not None
        directory = Path(tests.stdout.readline().strip())
        job = process_noted(directory / "home" / "pid")
        tests.kill()
    wait_until(lambda: not directory.exists())
    assert not job.alive
