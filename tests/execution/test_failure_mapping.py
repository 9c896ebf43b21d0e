"""What an exception, an exit code and the system's own counters mean."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from climate_ref_prefect.diagnostics.errors import CommandKilledError, DiagnosticError, ResultValidationError
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.execution.host.cgroup_memory import OomKillCounter, memory_limit_mb
from climate_ref_prefect.execution.outcome import ExecutionFailure
from climate_ref_prefect.execution.worker.failure_mapping import (
    describe_exit,
    failure_from_exception,
    failure_from_exit_code,
    failure_from_memory_use,
)
from tests.diagnostics.strategies import failures, texts

UNLIMITED_V1 = 9223372036854771712


def wrapped(code: int) -> Exception:
    """Return an error of a provider's own about a command that ended with `code`."""
    error = DiagnosticError("the tool has failed")
    error.__cause__ = subprocess.CalledProcessError(code, "tool")
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (DiagnosticError("no"), FailureKind.DIAGNOSTIC_ERROR),
        (KeyError("tas"), FailureKind.DIAGNOSTIC_ERROR),
        (MemoryError(), FailureKind.OUT_OF_MEMORY),
        (CommandKilledError("killed"), FailureKind.KILLED),
        (ResultValidationError("no result"), FailureKind.INVALID_RESULT),
        (FileNotFoundError("tas.nc"), FailureKind.SYSTEM_ERROR),
        (SystemExit(1), FailureKind.DIAGNOSTIC_ERROR),
        (SystemExit(-9), FailureKind.KILLED),
        (SystemExit("no data"), FailureKind.DIAGNOSTIC_ERROR),
        (RuntimeError("can't start new thread"), FailureKind.SYSTEM_ERROR),
        (KeyboardInterrupt(), FailureKind.SYSTEM_ERROR),
        (subprocess.CalledProcessError(1, "tool"), FailureKind.DIAGNOSTIC_ERROR),
        (subprocess.CalledProcessError(-9, "tool"), FailureKind.KILLED),
        (wrapped(137), FailureKind.KILLED),
        (wrapped(1), FailureKind.DIAGNOSTIC_ERROR),
        (ExceptionGroup("both", [ValueError("no"), MemoryError()]), FailureKind.OUT_OF_MEMORY),
        (
            ExceptionGroup("both", [OSError("gone"), ExceptionGroup("deep", [OSError("gone")])]),
            FailureKind.SYSTEM_ERROR,
        ),
        (ExceptionGroup("both", [OSError("gone"), ValueError("no")]), FailureKind.DIAGNOSTIC_ERROR),
        (ExceptionGroup("both", [wrapped(-9), ValueError("no")]), FailureKind.KILLED),
    ],
)
def test_an_exception_has_its_kind(error: BaseException, kind: FailureKind) -> None:
    assert failure_from_exception(error).kind is kind


@pytest.mark.parametrize(
    ("command", "directory", "kind"),
    [
        (["no-such-program"], None, FailureKind.DIAGNOSTIC_ERROR),
        (["no-such-program"], "/", FailureKind.DIAGNOSTIC_ERROR),
        (["/etc/passwd"], None, FailureKind.DIAGNOSTIC_ERROR),
        (["true", *["x" * 100_000] * 100], None, FailureKind.DIAGNOSTIC_ERROR),
        (["true"], "/no/such/directory", FailureKind.SYSTEM_ERROR),
    ],
)
def test_a_program_that_is_missing_is_the_diagnostics_own_error(
    command: list[str], directory: str | None, kind: FailureKind
) -> None:
    assert failure_from_exception(raised_by(lambda: subprocess.run(command, cwd=directory, check=False))).kind is kind


def raised_by(act: Callable[[], object]) -> BaseException:
    """Return what a call raises, with its traceback."""
    with pytest.raises(OSError, match="Errno") as caught:
        act()
    return caught.value


def circle(*links: str) -> Exception:
    """Return one of two errors that are the cause, or the context, of each other."""
    first, second = ValueError("first"), KeyError("second")
    for link in links:
        setattr(first, link, second)
        setattr(second, link, first)
    return first


def own_cause() -> Exception:
    """Return an error that is its own cause."""
    error = ZeroDivisionError("division by zero")
    error.__cause__ = error
    return error


def long_chain() -> Exception:
    """Return an error with thousands of causes."""
    error = ValueError("0")
    for number in range(5_000):
        following = ValueError(str(number))
        following.__cause__ = error
        error = following
    return error


def deep_group() -> Exception:
    """Return a group of a group of a group, and so on."""
    error: Exception = ValueError("deep")
    for _ in range(2_000):
        error = ExceptionGroup("group", [error])
    return error


def wide_group() -> Exception:
    """Return a group that holds another twice, which does so in turn: more members than anybody can count."""
    error: Exception = ValueError("wide")
    for _ in range(40):
        error = ExceptionGroup("group", [error, error])
    return error


class _OfItself(ExceptionGroup[Exception]):
    """A group that is a part of itself."""

    @property
    def exceptions(self) -> tuple[Exception, ...]:
        return (self,)


class _SilentError(Exception):
    def __str__(self) -> str:
        raise SystemExit(3)


class _WordlessError(Exception):
    def __str__(self) -> str:
        return 5  # type: ignore[return-value]  # noqa: PLE0307


class _TalkativeError(Exception):
    def __str__(self) -> str:
        return "x" * 50_000_000


class _HostileError(Exception):
    @property
    def returncode(self) -> int:
        raise RuntimeError("never")


class _Nameless(type):
    @property
    def __name__(cls) -> str:  # type: ignore[override]  # noqa: PLW3201, RUF100 - what a metaclass may do
        raise ValueError("no name")


class _UnnamedError(Exception, metaclass=_Nameless):
    pass


def noted() -> Exception:
    """Return an error whose notes are none."""
    error = ValueError("noted")
    error.__notes__ = 5  # type: ignore[assignment]
    return error


ODD = [
    own_cause(),
    circle("__cause__"),
    circle("__context__"),
    circle("__cause__", "__context__"),
    long_chain(),
    deep_group(),
    wide_group(),
    _OfItself("group", [ValueError("one")]),
    _SilentError(),
    _WordlessError(),
    _TalkativeError(),
    _HostileError("hostile"),
    _UnnamedError("unnamed"),
    noted(),
]


@pytest.mark.parametrize("error", ODD, ids=lambda error: type.__getattribute__(type(error), "__qualname__"))
def test_an_odd_exception_is_the_providers_own_error(error: Exception) -> None:
    failure = failure_from_exception(error)
    assert failure.kind is FailureKind.DIAGNOSTIC_ERROR
    assert failure.message
    assert failure.details
    assert len(failure.details) < 50_000


@given(texts)
def test_whatever_an_exception_says_can_be_written(text: str) -> None:
    failure = failure_from_exception(ValueError(text + "\udcff"))
    assert ExecutionFailure.model_validate_json(failure.model_dump_json()) == failure


def test_a_message_without_end_is_cut() -> None:
    failure = failure_from_exception(ValueError("x" * 10**6))
    assert max(len(failure.message), len(failure.details)) < 50_000


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (-9, FailureKind.KILLED, "SIGKILL"),
        (137, FailureKind.KILLED, "SIGKILL"),
        (-11, FailureKind.CRASHED, "SIGSEGV"),
        (0, FailureKind.CRASHED, "exit code 0"),
        (-63, FailureKind.CRASHED, "signal"),
    ],
)
def test_an_exit_has_its_kind(code: int, kind: FailureKind, words: str) -> None:
    failure = failure_from_exit_code(code)
    assert failure.kind is kind
    assert words in failure.message


@given(st.integers(-130, 300))
def test_every_exit_code_has_words(code: int) -> None:
    assert describe_exit(code)


@given(failures, st.floats(0, 1e6), st.integers(1, 10**6), st.integers(0, 3))
def test_only_a_kill_of_unknown_cause_is_ever_turned_into_lack_of_memory(
    failure: ExecutionFailure, peak_mb: float, memory_mb: int, kills: int
) -> None:
    judged = failure_from_memory_use(failure, peak_rss_mb=peak_mb, memory_mb=memory_mb, oom_kills=kills)
    if failure.kind is not FailureKind.KILLED:
        assert judged == failure
    else:
        known = kills > 0 or peak_mb >= 0.9 * memory_mb
        assert judged.kind is (FailureKind.OUT_OF_MEMORY if known else FailureKind.KILLED)
        assert failure.message in judged.message


class TestCgroup:
    """Counters and limits of version 2, of version 1, and where there are none."""

    def test_version_2_counts_kills_and_has_the_smallest_limit_above(self, tmp_path: Path) -> None:
        membership = write(tmp_path / "membership", "0::/slurm/job_1\n")
        mount = tmp_path / "cgroup"
        write(mount / "slurm" / "memory.max", str(512 << 20))
        write(mount / "slurm" / "job_1" / "memory.max", "max\n")
        events = write(mount / "slurm" / "job_1" / "memory.events", "low 0\noom 3\noom_kill 2\n")
        kills = OomKillCounter(membership, mount)
        assert kills.since_start() == 0
        write(events, "low 0\noom 6\noom_kill 5\n")
        assert kills.since_start() == 3
        assert memory_limit_mb(membership, mount) == 512

    def test_version_1_does_so_too(self, tmp_path: Path) -> None:
        membership = write(tmp_path / "membership", "9:cpu,cpuacct:/\n4:memory:/job_1\n")
        mount = tmp_path / "cgroup"
        write(mount / "memory" / "memory.limit_in_bytes", f"{UNLIMITED_V1}\n")
        write(mount / "memory" / "job_1" / "memory.limit_in_bytes", str(256 << 20))
        control = write(
            mount / "memory" / "job_1" / "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n"
        )
        kills = OomKillCounter(membership, mount)
        write(control, "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")
        assert kills.since_start() == 1
        assert memory_limit_mb(membership, mount) == 256

    def test_without_a_cgroup_no_kill_and_no_limit_is_known(self, tmp_path: Path) -> None:
        assert OomKillCounter(tmp_path / "none", tmp_path).since_start() == 0
        assert memory_limit_mb(tmp_path / "none", tmp_path) is None


def write(path: Path, text: str) -> Path:
    """Write a file and the directories above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path
