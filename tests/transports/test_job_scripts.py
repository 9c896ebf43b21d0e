"""Paths with any character reach the scheduler and the job's shell as they are, or are refused with their field."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.transports.batch.batch_transport import BatchTransport
from climate_ref_prefect.transports.batch.dask.open_transport import write_script
from climate_ref_prefect.transports.batch.dask.tls_keys import CommsKeys
from climate_ref_prefect.transports.batch.schedulers.pbs.transport import PbsTransport
from climate_ref_prefect.transports.batch.schedulers.slurm.transport import SlurmTransport
from climate_ref_prefect.transports.batch.settings.job_sizing import Sizing
from climate_ref_prefect.transports.site_profiles import read_profile

NAMES = [
    "plain",
    "my data",
    "o'brien",
    "x(1)",
    "a&b",
    "100%j",
    'say "hi"',
    "#1",
    "a;b|c",
    "a:b,c",
    "$ 5",
    "`x`",
    "~",
    "*?[]!",
]
KINDS = [SlurmTransport, PbsTransport]


def script_of(transport: BatchTransport, keys: CommsKeys | None = None) -> list[str]:
    path = write_script(transport, "tls://host:1", "a-1", Sizing().size(ResourceHint()), keys)
    try:
        return path.read_text(encoding="utf-8").splitlines()
    finally:
        path.unlink()


def words_of_directive(script: list[str], option: str) -> list[str]:
    """Return an option as `sbatch` and `qsub` read it: like a shell that expands nothing."""
    directives = (shlex.split(line.partition(" ")[2]) for line in script if line.startswith(("#SBATCH", "#PBS")))
    return next(words for words in directives if words[0].startswith(option))


def arguments_of_pilot(script: list[str], tmp_path: Path) -> list[str]:
    """Have the job's shell say what it would start."""
    start = script[-1].removeprefix("exec ")
    told = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {start}"], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    return told.stdout.split("\0")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_the_shared_directory_may_have_any_name(kind: type[BatchTransport], name: str, tmp_path: Path) -> None:
    transport = kind(shared_directory=tmp_path / name)
    with CommsKeys(transport.shared) as keys:
        script = script_of(transport, keys)
        arguments = arguments_of_pilot(script, tmp_path)
    logs = f"{tmp_path / name}/logs/"
    if kind is SlurmTransport:
        assert words_of_directive(script, "--output=") == [f"--output={logs.replace('%', '%%')}%x-%j.log"]
    else:
        assert words_of_directive(script, "-o") == ["-o", logs]
    assert arguments[arguments.index("--tls-key") + 1] == str(keys.directory / "key.pem")


@pytest.mark.parametrize("name", ["données", "Grüße", "データ"])
def test_slurm_takes_names_in_any_language_and_pbs_none_but_ascii(name: str, tmp_path: Path) -> None:
    script = script_of(SlurmTransport(shared_directory=tmp_path / name))
    assert words_of_directive(script, "--output=") == [f"--output={tmp_path / name}/logs/%x-%j.log"]
    with pytest.raises(ValueError, match="not ASCII"):
        PbsTransport(shared_directory=tmp_path / name)


REFUSED = [
    ("slurm", "shared_directory", "/scratch/a\\b", "has a backslash"),
    ("slurm", "shared_directory", "/scratch/a\nb", "which no job script can have"),
    ("slurm", "shared_directory", "/scratch/a\x1bb", "which no job script can have"),
    ("slurm", "python", "/envs/a\nb/bin/python", "which no job script can have"),
    ("slurm", "local_directory", "/tmp/a\rb", "which no job script can have"),
    ("pbs", "shared_directory", "/scratch/données", "not ASCII"),
    ("pbs", "shared_directory", "/scratch/a\\b", "which PBS does not leave as it is"),
    ("pbs", "shared_directory", "/scratch/^array_index^", "which PBS does not leave as it is"),
    ("pbs", "shared_directory", "/scratch/a\tb", "which no job script can have"),
]


@pytest.mark.parametrize(("kind", "field", "path", "words"), REFUSED)
def test_what_the_scheduler_cannot_take_is_refused_when_the_profile_is_read(
    tmp_path: Path, kind: str, field: str, path: str, words: str
) -> None:
    profile = tmp_path / "site.yaml"
    escaped = path.encode("unicode_escape").decode().replace("\\\\", "\\\\")
    profile.write_text(f'kind: {kind}\n{field}: "{escaped}"\n', encoding="utf-8")
    with pytest.raises(BadInputError, match=field) as refused:
        read_profile(profile)
    assert words in str(refused.value)


INTERPRETERS = [
    ("/envs/plain/bin/python", "/envs/plain/bin/python"),
    ("/envs/my env/bin/python", "/envs/my env/bin/python"),
    ("/envs/o'brien (1)/bin/python", "/envs/o'brien (1)/bin/python"),
    ('/envs/"x" & y;z/bin/python', '/envs/"x" & y;z/bin/python'),
    ("/envs/100%/[a]*/données/python", "/envs/100%/[a]*/données/python"),
    ("/envs/a\\b `c` $ 5/python", "/envs/a\\b `c` $ 5/python"),
    ("$HERE/my env/python", "/at home/my env/python"),
    ("${HERE}/python", "/at home/python"),
    ("${NONE:-/envs}/my env/python", "/envs/my env/python"),
    ("~/my env/python", "/at home/my env/python"),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("python", "meant"), INTERPRETERS)
def test_the_interpreter_may_have_any_path_and_the_shells_variables(
    kind: type[BatchTransport], python: str, meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HERE", "HOME"):
        monkeypatch.setenv(name, "/at home")
    script = script_of(kind(shared_directory=tmp_path, python=python))
    assert arguments_of_pilot(script, tmp_path)[0] == meant


def test_the_coordinators_own_interpreter_is_meant_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/envs/$HOME/my env/python")
    script = script_of(SlurmTransport(shared_directory=tmp_path, python=sys.executable))
    assert arguments_of_pilot(script, tmp_path)[0] == "/envs/$HOME/my env/python"


LOCAL_DIRECTORIES = [
    ("${TMPDIR:-/tmp}", "/fast disk"),
    ("$TMPDIR/my files", "/fast disk/my files"),
    ("/local/o'brien", "/local/o'brien"),
    ("/local/a b", "/local/a b"),
]


@pytest.mark.parametrize(("directory", "meant"), LOCAL_DIRECTORIES)
def test_the_local_directory_is_one_word_of_the_shell(
    directory: str, meant: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", "/fast disk")
    script = script_of(SlurmTransport(shared_directory=tmp_path, local_directory=directory))
    arguments = arguments_of_pilot(script, tmp_path)
    assert arguments[arguments.index("--local-directory") + 1] == meant
