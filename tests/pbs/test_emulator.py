"""What the emulator does beyond what was recorded: jobs, queues, refusals, output."""

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from climate_ref_prefect.execution.host.process_identity import process_start
from climate_ref_prefect.testing.processes import wait_until
from tests.pbs.cluster import JobView, PbsCluster
from tests.pbs.conftest import QUICK, StartCluster, process_noted
from tests.pbs.settings import GADI, NodeSettings, QueueSettings

SLEEP = ("--", "/bin/sleep", "60")
IGNORES_TERM = "trap '' TERM\necho ready\nwhile :; do sleep 0.05; done\n"


def end_of(cluster: PbsCluster, job_id: str) -> JobView:
    wait_until(lambda: cluster.job(job_id).finished)
    return cluster.job(job_id)


def run_script(cluster: PbsCluster, script: str, *arguments: str) -> JobView:
    return end_of(cluster, cluster.submit(*arguments, stdin=script))


def shown(cluster: PbsCluster, job_id: str) -> dict[str, object]:
    """Return what `qstat -f -F json` says of a job."""
    ended = cluster.run("qstat", "-x", "-f", "-F", "json", job_id)
    described: dict[str, object] = json.loads(ended.stdout)["Jobs"][job_id]
    return described


ENDINGS = [
    ("exit 0", 0, "and finished"),
    ("exit 3", 3, "and failed"),
    ("kill -KILL $$", 265, "and failed"),
    ("kill -SEGV $$", 267, "and failed"),
]


@pytest.mark.parametrize(("script", "status", "ending"), ENDINGS)
def test_each_own_ending_has_its_exit_status(cluster: PbsCluster, script: str, status: int, ending: str) -> None:
    job = run_script(cluster, script)
    assert job.exit_status == status
    assert str(job.comment).endswith(ending)


DELETIONS = [
    ("echo ready; exec sleep 60", 271),
    ("trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done", 0),
    (IGNORES_TERM, 265),
]


@pytest.mark.parametrize(("script", "status"), DELETIONS)
def test_a_job_that_is_deleted_gets_sigterm_and_then_sigkill(cluster: PbsCluster, script: str, status: int) -> None:
    job_id = cluster.submit("-N", "job", stdin=script)
    wait_until(lambda: (cluster.directory / "spool" / f"{job_id}.OU").read_text() == "ready\n")
    assert cluster.run("qdel", job_id).returncode == 0
    job = end_of(cluster, job_id)
    assert job.exit_status == status
    assert str(job.comment).endswith(f"and terminated by {cluster.settings.user}@pbsvm")


def test_the_walltime_is_enforced(cluster: PbsCluster) -> None:
    job = run_script(cluster, IGNORES_TERM, "-l", "walltime=1", "-j", "oe", "-o", "out")
    assert job.exit_status == -29
    assert str(job.comment).endswith("and exceeded resource walltime")
    assert "=>> PBS: job killed: walltime 1 exceeded limit 1" in (cluster.home / "out").read_text()


# The child that takes the memory is in a session of its own, as the executions of this package are.
GREEDY = "setsid sh -c 'head -c 120000000 /dev/zero | tail | sleep 1' & wait"


def test_memory_is_not_enforced_unless_the_site_does(cluster: PbsCluster) -> None:
    assert run_script(cluster, GREEDY, "-l", "select=1:ncpus=1:mem=50mb").exit_status == 0


def test_memory_of_the_whole_tree_is_enforced_where_the_site_does(start_cluster: StartCluster) -> None:
    cluster = start_cluster(replace(QUICK, enforce_memory=True))
    job = run_script(cluster, GREEDY, "-l", "select=1:ncpus=1:mem=50mb")
    assert job.exit_status == -27
    assert str(job.comment).endswith("and exceeded resource mem")


@pytest.mark.parametrize("enforce_memory", [False, True])
def test_what_has_a_session_of_its_own_ends_with_its_job_only_where_the_site_has_control_groups(
    start_cluster: StartCluster,
    enforce_memory: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    cluster = start_cluster(replace(QUICK, enforce_memory=enforce_memory))
    job_id = cluster.submit("-l", "select=1:mem=1gb", stdin="setsid sh -c 'echo $$ > pid; exec sleep 60' & wait")
    detached = process_noted(cluster.home / "pid")
    same_session = cluster.job(job_id).session_id
    cluster.run("qdel", job_id)
    end_of(cluster, job_id)
    wait_until(lambda: process_start(same_session or 0) is None)
    if enforce_memory:
        wait_until(lambda: not detached.alive)
    assert detached.alive is not enforce_memory


def test_a_job_has_a_clean_environment_and_starts_in_its_home(
    cluster: PbsCluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SECRET", "s3cr3t")
    script = "pwd; echo $PBS_O_WORKDIR; echo ${SECRET-unset}; echo ${GIVEN-unset} $NCPUS\n"
    for number, options in enumerate([(), ("-V",), ("-v", "SECRET,GIVEN=a")]):
        arguments = ("-l", "ncpus=2", "-o", f"out{number}", *options)
        ended = cluster.run("qsub", *arguments, directory=tmp_path, stdin=script)
        end_of(cluster, ended.stdout.strip())
    begin = f"{cluster.home}\n{tmp_path}\n"
    assert (tmp_path / "out0").read_text() == f"{begin}unset\nunset 2\n"
    assert (tmp_path / "out1").read_text() == f"{begin}s3cr3t\nunset 2\n"
    assert (tmp_path / "out2").read_text() == f"{begin}s3cr3t\na 2\n"


def test_output_comes_at_the_end_in_files_of_the_user_alone(cluster: PbsCluster, tmp_path: Path) -> None:
    script = f"echo out; echo err >&2; until [ -e {tmp_path}/go ]; do sleep 0.02; done"
    job_id = cluster.submit("-N", "job", "-o", "out", stdin=script)
    directory = cluster.submit("-N", "job", "-o", f"{tmp_path}/", "-j", "oe", stdin=script)
    wait_until(lambda: (cluster.directory / "spool" / f"{job_id}.ER").read_text() == "err\n")
    assert not (cluster.home / "out").exists()
    (tmp_path / "go").touch()
    end_of(cluster, job_id)
    end_of(cluster, directory)
    assert (cluster.home / "job.e1").read_text() == "err\n"
    assert (tmp_path / f"{directory}.OU").read_text() == "out\nerr\n"
    assert (cluster.home / "out").read_text() == "out\n"
    assert stat.S_IMODE((cluster.home / "out").stat().st_mode) == 0o600


def test_directives_of_a_script_are_read_and_the_command_line_comes_first(cluster: PbsCluster) -> None:
    script = "#!/bin/bash\n#PBS -N directive -q bigmem\n#PBS -l select=1:ncpus=2:mem=1GB\n\n:\ntrue\n#PBS -q closed\n"
    job = cluster.job(cluster.submit("-N", "line", "-l", "walltime=10:00", stdin=script))
    assert (job.name, job.queue, job.ncpus, job.memory_kb) == ("line", "bigmem", 2, 1024**2)
    assert job.walltime_seconds == 600


def test_jobs_wait_until_processors_are_free(cluster: PbsCluster) -> None:
    first, second, third = (cluster.submit("-l", "select=1:ncpus=1", *SLEEP) for _ in range(3))
    assert [cluster.job(job_id).state for job_id in (first, second, third)] == ["R", "R", "Q"]
    assert cluster.job(third).comment == "Not Running: Not enough free nodes available"
    cluster.run("qdel", first)
    wait_until(lambda: cluster.job(third).state == "R")


def test_chunks_are_spread_over_nodes(start_cluster: StartCluster) -> None:
    cluster = start_cluster(replace(QUICK, nodes=(NodeSettings("a"), NodeSettings("b"))))
    job_id = cluster.submit("-l", "select=2:ncpus=2:mem=1gb", *SLEEP)
    assert shown(cluster, job_id)["exec_host"] == "a/0*2+b/0*2"


def test_a_queue_that_is_full_takes_no_more_and_one_at_its_limit_runs_no_more(start_cluster: StartCluster) -> None:
    queues = (QueueSettings("workq", max_queued=2, max_run=1), QueueSettings("stopped", started=False))
    cluster = start_cluster(replace(QUICK, queues=queues))
    cluster.submit(*SLEEP)
    second = cluster.submit(*SLEEP)
    assert cluster.job(second).comment == "Not Running: User has reached queue workq running job limit."
    refused = cluster.run("qsub", *SLEEP)
    assert (refused.returncode, refused.stderr) == (38, "qsub: would exceed queue workq's per-user limit\n")
    assert cluster.job(cluster.submit("-q", "stopped", *SLEEP)).comment == "Not Running: Queue not started."


REFUSALS = [
    (("-q", "closed"), 173, "qsub: Queue is not enabled\n"),
    (("-q", "bigmem", "-l", "select=1:mem=5gb"), 188, "qsub: Job violates queue and/or server resource limits\n"),
    (("-q", "bigmem", "-l", "walltime=49:00:00"), 188, "qsub: Job violates queue and/or server resource limits\n"),
    (("-l", "select=1:mem=lots"), 166, "qsub: Illegal attribute or resource value select.mem\n"),
    (("-l", "jobfs=1gb"), 187, "qsub: Unknown resource Resource_List.jobfs\n"),
    (
        ("-l", "select=1:ncpus=1", "-l", "mem=1gb"),
        5,
        'qsub: "-lresource=" cannot be used with "select" or "place", resource is: mem\n',
    ),
]


@pytest.mark.parametrize(("arguments", "code", "words"), REFUSALS)
def test_refusals_have_a_message(cluster: PbsCluster, arguments: tuple[str, ...], code: int, words: str) -> None:
    ended = cluster.run("qsub", *arguments, *SLEEP)
    assert (ended.returncode, ended.stderr) == (code, words)
    assert cluster.jobs() == []


@pytest.mark.parametrize("name", ["two words", "a:b", "1st"])
def test_names_have_no_space_and_no_colon_and_begin_with_a_letter(cluster: PbsCluster, name: str) -> None:
    ended = cluster.run("qsub", "-N", name, *SLEEP)
    assert ended.returncode == 2
    assert ended.stderr.startswith("qsub: illegal -N value\nusage: qsub")


@pytest.mark.parametrize("option", [("-J", "1-3"), ("-I",), ("-W", "block=true"), ("-k", "oed")])
def test_what_is_not_emulated_is_refused(cluster: PbsCluster, option: tuple[str, ...]) -> None:
    assert cluster.run("qsub", *option, *SLEEP).stderr.startswith(f"qsub: the emulator has no {option[0]}\n")


def test_a_script_that_is_not_there_is_refused(cluster: PbsCluster) -> None:
    assert cluster.run("qsub", "nothing.sh").returncode == 1


def test_gadi_forbids_select_and_has_resources_of_its_own(start_cluster: StartCluster) -> None:
    cluster = start_cluster(replace(GADI, kill_delay_seconds=0.2))
    assert cluster.run("qsub", "-l", "select=1:ncpus=1", *SLEEP).returncode == 32
    asked = "ncpus=2,mem=4GB,jobfs=1GB,walltime=00:10:00,storage=gdata/xy12+scratch/xy12"
    job_id = cluster.submit("-l", asked, *SLEEP)
    assert shown(cluster, job_id)["Resource_List"] == {
        "jobfs": "1GB",
        "mem": "4gb",
        "ncpus": 2,
        "nodect": 1,
        "place": "pack",
        "select": "1:ncpus=2:mem=4gb",
        "storage": "gdata/xy12+scratch/xy12",
        "walltime": "00:10:00",
    }


@pytest.mark.parametrize(("empty", "stdout"), [(True, ""), (False, '\t"pbs_server":\t"pbsvm"\n}\n')])
def test_without_history_a_finished_job_is_unknown(start_cluster: StartCluster, empty: bool, stdout: str) -> None:  # noqa: FBT001 - a parameter of the test
    cluster = start_cluster(replace(QUICK, history=False, empty_json=empty))
    job = run_script(cluster, "true")
    ended = cluster.run("qstat", "-x", "-f", "-F", "json", job.job_id)
    assert ended.stdout.endswith(stdout)
    assert "Jobs" not in ended.stdout
    assert ended.stderr == f"qstat: PBS is not configured to maintain job history {job.job_id}\n"
    assert ended.returncode == 0
    assert cluster.run("qstat", job.job_id).returncode == 153
    assert cluster.run("qdel", job.job_id).returncode == 153


def test_json_coerces_what_looks_like_json(cluster: PbsCluster) -> None:
    values = {"A": "1e3", "B": "true", "C": "007", "D": "1.50", "E": '"quoted"', "F": "1.2.3", "G": "null"}
    job_id = cluster.submit("-v", ",".join(f"{name}={value}" for name, value in values.items()), *SLEEP)
    variables = shown(cluster, job_id)["Variable_List"]
    assert isinstance(variables, dict)
    assert [variables[name] for name in values] == [1000, True, 7, 1.5, "quoted", "1.2.3", None]


def test_the_full_form_is_wrapped_at_eighty_columns(cluster: PbsCluster) -> None:
    long = "/a" * 200
    job_id = cluster.submit("-v", f"LONG={long}", *SLEEP)
    lines = cluster.run("qstat", "-f", job_id).stdout.splitlines()
    assert lines[0] == f"Job Id: {job_id}"
    assert max(len(line.expandtabs(8)) for line in lines) <= 80
    assert f"LONG={long}" in "".join(line.lstrip("\t") for line in lines)


def test_more_than_a_node_has_waits_and_more_than_all_have_can_never_run(start_cluster: StartCluster) -> None:
    cluster = start_cluster(replace(QUICK, nodes=(NodeSettings("pbsvm", ncpus=8), NodeSettings("node2", ncpus=4))))
    waits, never = (cluster.submit("-l", f"select=1:ncpus={number}", *SLEEP) for number in (9, 64))
    assert cluster.job(waits).comment == "Not Running: Insufficient amount of resource: ncpus (R: 9 A: 4 T: 12)"
    assert str(cluster.job(never).comment).startswith("Can Never Run: Insufficient amount of resource: ncpus (R: 64 ")


def test_a_login_shell_reports_a_signal_as_its_own_exit(start_cluster: StartCluster) -> None:
    cluster = start_cluster(replace(QUICK, login_shell=True))
    assert run_script(cluster, "kill -KILL $$").exit_status == 137
    assert run_script(cluster, "exit 3").exit_status == 3


def test_a_suspended_job_stops_in_its_session_alone(cluster: PbsCluster) -> None:
    job_id = cluster.submit(stdin="setsid sh -c 'echo $$ > left; exec sleep 60' & exec sleep 60")
    session = wait_until(lambda: cluster.job(job_id).session_id)
    note = cluster.home / "left"
    left = int(wait_until(lambda: note.read_text().strip() if note.exists() else None))
    cluster.misbehave.suspend(job_id)
    assert shown(cluster, job_id)["job_state"] == "S"
    wait_until(lambda: _state(session) == "T")
    assert _state(left) == "S"
    cluster.misbehave.resume(job_id)
    wait_until(lambda: _state(session) == "S")
    cluster.run("qdel", job_id)
    end_of(cluster, job_id)
    cluster.run("kill", str(left))


QUOTED = [
    ("-N 'a-b'", "a-b"),
    ('-N "a-b"', "a-b"),
    ("-N a'-'b", "a-b"),
    ("-N a\\-b", "a-b"),
]


@pytest.mark.parametrize(("directive", "name"), QUOTED)
def test_directives_are_split_as_qsub_does(cluster: PbsCluster, directive: str, name: str) -> None:
    assert run_script(cluster, f"#PBS {directive}\ntrue").name == name


def test_a_path_of_output_may_have_blanks_and_colons_and_nothing_but_ascii(cluster: PbsCluster) -> None:
    directory = cluster.home / "my data: o'brien"
    directory.mkdir()
    run_script(cluster, f'#PBS -o "{directory}/"\n#PBS -j oe\necho hello')
    (output,) = directory.iterdir()
    assert output.read_text() == "hello\n"
    refused = cluster.run("qsub", stdin="#PBS -o /données/\ntrue")
    assert (refused.returncode, "illegal -o value" in refused.stderr) == (2, True)


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
