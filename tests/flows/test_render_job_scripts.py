"""`climate-ref-prefect render`: job scripts, and nothing submitted."""

from pathlib import Path

import pytest

from tests.flows.coordinator_processes import run_command

pytestmark = pytest.mark.slow
PROVIDER = ("--provider", "tests.flows.providers:provider")


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    """A SLURM site with a queue for half an hour, which is not there."""
    path = tmp_path / "site.yaml"
    path.write_text(
        f"{{kind: slurm, shared_directory: {tmp_path}, sizing: {{queues: [{{name: short, wall_clock: PT30M}}]}}}}"
    )
    return path


def test_a_script_for_each_diagnostic(profile: Path) -> None:
    chosen = ("--diagnostic", "good", "--diagnostic", "other")
    ended = run_command("render", "--transport", str(profile), *PROVIDER, *chosen)
    assert ended.code == 0, ended.errors
    lines = ended.output.splitlines()
    assert [line for line in lines if line.startswith("# flows/")] == ["# flows/good", "# flows/other"]
    assert lines.count("#!/usr/bin/env bash") == lines.count("#SBATCH -p short") == 2
    assert list(profile.parent.iterdir()) == [profile]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--transport", "local", *PROVIDER], "'local' has no job scripts: name a site profile of the kind pbs or"),
        ([*PROVIDER, "--diagnostic", "nonesuch"], "There is no diagnostic 'nonesuch'. Valid: "),
        (
            ["--provider", "climate_ref_prefect.testing.providers.import_error:provider"],
            "cannot be asked what it needs",
        ),
    ],
)
def test_what_cannot_be_shown(profile: Path, arguments: list[str], words: str) -> None:
    ended = run_command("render", "--transport", str(profile), *arguments)
    assert ended.code == 2
    assert words in ended.errors
    assert "Traceback" not in ended.errors
