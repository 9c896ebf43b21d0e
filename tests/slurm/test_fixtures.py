"""Where no cluster can be started, the fixture says what to install: on CI as a failure, elsewhere as a skip."""

import pytest

from tests.slurm.fixtures import require_slurm

_ADVICE = "Install these Debian packages: .*slurm-client"


@pytest.fixture(autouse=True)
def _nothing_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")


def test_on_ci_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=_ADVICE):
        require_slurm()


def test_elsewhere_it_skips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=_ADVICE):
        require_slurm()
