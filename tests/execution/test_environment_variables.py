"""Started programs get the environment that the table defines, and import nothing from the current directory."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from climate_ref_prefect.execution.host.environment_variables import (
    environment_of_prefect_server,
    environment_of_provider,
    environment_of_scheduler,
    lines_for_job_script,
)
from climate_ref_prefect.testing.executions import Prepare
from climate_ref_prefect.testing.transports.contract_driver import Allowances, Driving, environment_of
from climate_ref_prefect.transports.batch.schedulers.slurm.environment import overruled_variables
from climate_ref_prefect.transports.this_machine.one_at_a_time import InlineTransport

ROOT = Path(__file__).resolve().parents[2]
OF_THE_SITE = {
    "SLURM_CONF": "/etc/slurm/slurm.conf",
    "SLURM_CLUSTERS": "cirrus",
    "PBS_DEFAULT": "pbs01",
    "PBS_CONF_FILE": "/etc/pbs.conf",
    "HOME": "/home/user",
}
OF_THE_SHELL = {
    "SBATCH_MEM_PER_CPU": "9T",
    "SBATCH_TIMELIMIT": "1",
    "SBATCH_EXPORT": "NONE",
    "SBATCH_NO_REQUEUE": "0",
    "SALLOC_PARTITION": "debug",
    "SLURM_MEM_PER_NODE": "1",
    "SLURM_JOB_ID": "7",
    "SLURM_TIME_FORMAT": "relative",
    "SQUEUE_FORMAT": "%A",
    "SQUEUE_USERS": "nobody",
    "SCANCEL_INTERACTIVE": "true",
    "PBS_DPREFIX": "#OURS",
    "PBS_JOBID": "7.pbs01",
    "PBS_O_WORKDIR": "/home/user",
    "QSUB_OPTIONS": "-q debug",
}


def set_all(monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_what_the_shell_says_to_the_scheduler_reaches_no_command(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, {**OF_THE_SITE, **OF_THE_SHELL})
    environment = environment_of_scheduler()
    assert sorted(OF_THE_SHELL.keys() & environment.keys()) == []
    assert {name: environment[name] for name in OF_THE_SITE} == OF_THE_SITE
    assert environment["LC_ALL"] == "C"


@pytest.mark.parametrize(
    ("script", "kept"),
    [
        ("#!/bin/sh\n#SBATCH --mem=1G\n", {"SBATCH_ACCOUNT", "SBATCH_WCKEY", "SBATCH_CLUSTERS"}),
        ("#!/bin/sh\n#SBATCH -A ours\n", {"SBATCH_WCKEY", "SBATCH_CLUSTERS"}),
        ("#!/bin/sh\n#SBATCH --account=ours\n#SBATCH --clusters=a,b\n", {"SBATCH_WCKEY"}),
    ],
)
def test_the_users_account_counts_where_the_script_names_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str, kept: set[str]
) -> None:
    set_all(monkeypatch, dict.fromkeys(("SBATCH_ACCOUNT", "SBATCH_WCKEY", "SBATCH_CLUSTERS"), "theirs"))
    path = tmp_path / "job.sh"
    path.write_text(script)
    seen = environment_of_scheduler(overruled_variables(path))
    assert {name for name in seen if name.startswith("SBATCH_")} == kept


def test_a_scheduler_leaves_out_what_it_names_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, {"LSB_DEFAULTQUEUE": "debug", "LSF_ENVDIR": "/etc/lsf"})
    seen = environment_of_scheduler(("LSB_*", "BSUB_*"))
    assert ("LSB_DEFAULTQUEUE" in seen, seen["LSF_ENVDIR"]) == (False, "/etc/lsf")


def test_a_job_script_sets_the_language_whatever_its_characters_and_unsets_what_is_not_set_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [name for name in os.environ if name.startswith(("LC_", "LANG", "TZ", "PYTHON"))]:
        monkeypatch.delenv(name)
    odd = tmp_path / 'it\'s a "path" of $HOME'
    set_all(monkeypatch, {"LANG": "de_DE.UTF-8", "LC_TIME": "it's $HOME", "PYTHONPATH": f".{os.pathsep}{odd}"})
    monkeypatch.chdir(tmp_path)
    script = "\n".join([*lines_for_job_script(), "env -0"])
    of_node = {"PATH": os.environ["PATH"], "LC_ALL": "C", "LANGUAGE": "fr", "TZ": "UTC", "HOME": "/root"}
    printed = subprocess.run(["/bin/sh", "-c", script], env=of_node, capture_output=True, text=True, check=True).stdout
    seen = dict(line.split("=", 1) for line in printed.split("\0") if line)
    assert (seen["LANG"], seen["LC_TIME"], seen["PYTHONPATH"]) == ("de_DE.UTF-8", "it's $HOME", str(odd))
    assert not {"LC_ALL", "LANGUAGE", "TZ"} & seen.keys()
    assert seen["CLIMATE_REF_PREFECT_IMPORT_LAST"].split(os.pathsep)[0] == str(tmp_path)


def test_how_the_database_of_climate_ref_is_reached_is_handed_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, {"REF_DATABASE_URL": "postgresql://me:secret@host/ref", "REF_CONFIGURATION": "/ref"})
    for environment in (environment_of_provider(1), environment_of_scheduler(), environment_of_prefect_server({})):
        assert "REF_DATABASE_URL" not in environment
        assert environment["REF_CONFIGURATION"] == "/ref"


def test_a_prefect_server_has_no_proxy_and_no_address_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = ("http_proxy", "ALL_PROXY", "no_proxy", "PREFECT_API_URL", "PREFECT_API_KEY", "PREFECT_PROFILE")
    set_all(monkeypatch, {**dict.fromkeys(theirs, "theirs"), "PREFECT_SERVER_DATABASE_TIMEOUT": "30"})
    environment = environment_of_prefect_server({"PREFECT_HOME": "/home"})
    assert not set(theirs) & environment.keys()
    assert (environment["PREFECT_HOME"], environment["PREFECT_SERVER_DATABASE_TIMEOUT"]) == ("/home", "30")


def test_the_password_of_a_server_that_a_person_starts_reaches_that_server_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    password = "PREFECT_SERVER_API_AUTH_STRING"
    monkeypatch.setenv(password, "theirs")
    assert environment_of_prefect_server({})[password] == "theirs"
    assert environment_of_prefect_server({password: "of a solve"})[password] == "of a solve"
    assert password not in environment_of_provider(1) | environment_of_scheduler()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "127.0.0.1,localhost,::1"),
        ({"no_proxy": "localhost,.site.edu"}, "localhost,.site.edu,127.0.0.1,::1"),
        ({"NO_PROXY": ".site.edu"}, ".site.edu,127.0.0.1,localhost,::1"),
        ({"no_proxy": "*"}, "*"),
        ({"no_proxy": ""}, "127.0.0.1,localhost,::1"),
    ],
)
def test_a_provider_asks_for_the_loopback_interface_directly_and_for_others_through_the_proxy(
    monkeypatch: pytest.MonkeyPatch, given: Mapping[str, str], expected: str
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    set_all(monkeypatch, {"http_proxy": "http://proxy.site.edu:3128", **given})
    environment = environment_of_provider(cpu=2)
    assert (environment["no_proxy"], environment["NO_PROXY"]) == (expected, expected)
    assert environment["http_proxy"] == "http://proxy.site.edu:3128"


def test_what_a_diagnostic_starts_has_the_pythonpath_of_the_user(
    monkeypatch: pytest.MonkeyPatch, prepare: Prepare
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/opt/theirs")
    with Driving(InlineTransport(), Allowances()) as driving:
        executions = [prepare("environment"), prepare("environment", isolation="fresh")]
        driving.run_all(executions)
    assert [environment_of(directory)["PYTHONPATH"] for directory, _ in executions] == ["/opt/theirs"] * 2


def run_python(code: str, environment: Mapping[str, str]) -> tuple[int, str]:
    """Run some code in a process of its own, in the current directory; return its exit code and errors."""
    command = [sys.executable, "-P", "-c", code]
    ended = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=False)
    return ended.returncode, ended.stderr


class TestSearchPath:
    """The order in which a process of the command looks for modules."""

    @pytest.fixture(autouse=True)
    def mine(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Stand in a directory with a `random.py` and a provider of the user's."""
        (tmp_path / "random.py").write_text("raise SystemExit('was run')", encoding="utf-8")
        (tmp_path / "my_temperature.py").write_text("", encoding="utf-8")
        monkeypatch.chdir(tmp_path)
        return tmp_path

    @pytest.mark.parametrize("named", [".", "", "{here}", "{here}/", "{link}"])
    def test_the_current_directory_is_last_however_it_is_named(self, mine: Path, named: str) -> None:
        link = mine / "link"
        link.symlink_to(mine)
        path = os.pathsep.join([named.format(here=mine, link=link), str(ROOT)])
        code = (
            "import climate_ref_prefect.flows.cli.main, random, sys, my_temperature, os;"
            "assert os.path.realpath(sys.path[-1]) == os.getcwd(), sys.path"
        )
        assert run_python(code, {**os.environ, "PYTHONPATH": path}) == (0, "")

    def test_it_is_not_there_where_nobody_has_named_it(self) -> None:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        code = (
            "import climate_ref_prefect.flows.cli.main, random, importlib.util;"
            "assert importlib.util.find_spec('my_temperature') is None"
        )
        assert run_python(code, environment) == (0, "")

    def test_a_current_directory_that_is_gone_is_left_out(self) -> None:
        code = (
            "import os, sys, tempfile; here = tempfile.mkdtemp(); os.chdir(here); os.rmdir(here);"
            "sys.path.insert(0, ''); sys.path.insert(0, 'relative');"
            "from climate_ref_prefect.execution.host.python_search_path import search_path_of_interpreter;"
            "paths = search_path_of_interpreter()['PYTHONPATH'].split(os.pathsep);"
            "assert all(map(os.path.isabs, paths)), paths"
        )
        assert run_python(code, os.environ) == (0, "")
