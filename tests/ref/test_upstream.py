"""Without climate-ref, or with an unknown version of it, one line says what to do. These tests need no climate-ref."""

import subprocess
import sys

import pytest

from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.ref import failure_reasons, upstream

NO_CLIMATE_REF = """
import sys
sys.modules["climate_ref"] = sys.modules["climate_ref_core"] = None
from climate_ref_prefect.ref import PrefectExecutor
try:
    PrefectExecutor()
except ImportError:
    print("REF would say that a module is not found")
except Exception as error:
    print(error)
"""


def test_without_climate_ref_the_executor_says_in_one_line_what_to_install() -> None:
    ended = subprocess.run([sys.executable, "-c", NO_CLIMATE_REF], capture_output=True, text=True, check=True)
    line, *more = ended.stdout.splitlines()
    assert not more
    wanted = upstream.INSTALL if sys.version_info >= (3, 12) else "needs Python 3.12"
    assert wanted in line


def test_a_name_that_a_version_of_climate_ref_has_not_is_named() -> None:
    missing = """
import sys, types
core = types.ModuleType("climate_ref_core"); core.__path__ = []
sys.modules["climate_ref_core"] = core
sys.modules["climate_ref_core.serialisation"] = types.ModuleType("climate_ref_core.serialisation")
from climate_ref_prefect.ref import upstream
try:
    upstream.to_wire
except upstream.UpstreamMissingError as error:
    print(error)
"""
    ended = subprocess.run([sys.executable, "-c", missing], capture_output=True, text=True, check=True)
    assert "climate_ref_core.serialisation.to_wire" in ended.stdout
    assert upstream.INSTALL in ended.stdout


def test_what_is_no_name_of_the_table_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = upstream.no_such_name


@pytest.mark.parametrize("kind", FailureKind)
def test_each_failure_kind_has_a_reason_of_ref(kind: FailureKind) -> None:
    assert failure_reasons.reason_of(kind, has_begun=True) is failure_reasons.FAILURE_REASONS[kind]


def test_what_was_lost_before_it_began_was_not_started() -> None:
    for kind in (None, FailureKind.COORDINATOR_LOST, FailureKind.WORKER_LOST):
        assert failure_reasons.reason_of(kind, has_begun=False) is failure_reasons.RefFailureReason.NOT_STARTED
        assert failure_reasons.reason_of(kind, has_begun=True) is failure_reasons.RefFailureReason.ABANDONED
