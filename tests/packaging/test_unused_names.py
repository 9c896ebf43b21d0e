"""Every name of the package is used by the package, shown to users, or has a reason."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import DOCS
from tests.packaging.checkout import FOLDERS, PACKAGE, ROOT, pyproject, tracked
from tests.packaging.unused_names import unused_names

pytestmark = pytest.mark.slow

FOR_OTHERS = ("testing",)
"""Folders whose names are for tests of other distributions."""
REASONS = {
    "written for people who read the file": (
        "flows.workspace.results_ownership.ResultsOwner.since",
        "store.lock_file.Holder.since",
        "execution.claim.Claim.claimed_at",
        "execution.closed_attempt.Closed.closed_at",
        "diagnostics.output_bundle.OutputBundle.provenance",
        "diagnostics.output_bundle.Provenance.*",
    ),
    "called by a library": (
        "diagnostics.controlled_vocabulary.Vocabulary.model_post_init",  # pydantic
        "flows.server.event_batches.EventSender.client_type",  # Prefect
        "flows.server.event_batches.EventSender.send",
    ),
    "shown in the documentation, which a test compares": (
        "execution.failure_kinds.FailureRule.meaning",
        "execution.host.environment_variables.Rule.why",
    ),
    "asked for by climate-ref": (
        "ref.executor.PrefectExecutor.collects_results_on_join",
        "ref.executor.PrefectExecutor.runs_on_solve_host",
    ),
    "told to recorders of others": ("store.port.Finalisation.another_follows",),
    "for users, in reports and in Python": (
        "flows.report.solve_report.SolveReport.running_seconds",
        "store.memory_recorder.MemoryRecorder",
        "store.memory_recorder.MemoryRecorder.take_over",
    ),
    "for the pool, which withdraws what an earlier coordinator left": (
        "transports.batch.schedulers.job_marks.is_owned_by",
        "transports.batch.schedulers.scheduler_port.BatchScheduler.*",
        "transports.batch.schedulers.pbs.commands.PbsCommands.*",
        "transports.batch.schedulers.slurm.commands.SlurmCommands.*",
    ),
}


def modules() -> list[tuple[str, Path]]:
    """Return the name and the file of each module, but migrations, which Alembic calls."""
    found = [(PACKAGE, ROOT / "src" / PACKAGE / "__init__.py")]
    for name in tracked(*FOLDERS):
        if name.endswith(".py") and "/migrations/" not in name:
            parts = name.removesuffix(".py").removesuffix("/__init__").split("/")
            found.append((".".join([PACKAGE, *parts]), ROOT / "src" / PACKAGE / name))
    return found


def entry_points() -> set[str]:
    project = pyproject()["project"]
    groups = [project["scripts"], *project["entry-points"].values()]
    return {target.replace(":", ".") for group in groups for target in group.values()}


def shown_to_users() -> set[str]:
    """Return the words in code of the documentation: what is shown there is for users."""
    pages = [path.read_text(encoding="utf-8") for path in DOCS.rglob("*.md") if "decisions" not in path.parts]
    code = [found for page in pages for found in re.findall(r"```.*?```|`[^`\n]+`", page, re.DOTALL)]
    return {word for found in code for word in re.findall(r"[A-Za-z_]\w+", found)}


def has_reason(name: str) -> bool:
    given = {reason for names in REASONS.values() for reason in names}
    return name in given or f"{name.rpartition('.')[0]}.*" in given


def test_every_name_is_used() -> None:
    shown = shown_to_users()
    unused = []
    for full, is_field in unused_names(modules(), ROOT / "src"):
        name = full.removeprefix(f"{PACKAGE}.")
        if name.split(".")[0] in FOR_OTHERS or full in entry_points() or has_reason(name):
            continue
        if is_field or name.rpartition(".")[2] not in shown:  # a field that is documented may be dead all the same
            unused.append(name)
    assert unused == []


@pytest.mark.parametrize(
    "lines",
    [
        "def unused() -> None: ...",
        "class Unused: ...",
        "UNUSED = 1",
        "class C:\n    def unused(self) -> None: ...\nC()",
        "class C:\n    def __init__(self) -> None:\n        self.unused = 1\nC()",
        "class C:\n    unused: int = 0\nC().unused = 2",
        # Another class's name of the same spelling is used, and what each expression is, is known.
        "class C:\n    unused: int = 0\nclass D:\n    unused: int = 0\ndef f(d: D) -> int: return d.unused\nf, C()",
    ],
)
def test_what_is_not_used_is_found(lines: str, tmp_path: Path) -> None:
    (tmp_path / "climate_ref_prefect_tried.py").write_text(lines)
    found = unused_names([("climate_ref_prefect_tried", tmp_path / "climate_ref_prefect_tried.py")], tmp_path)
    assert [each.name.rpartition(".")[2].lower() for each in found] == ["unused"]


@pytest.mark.parametrize(
    "lines",
    [
        "def used() -> None: ...\nused()",
        "class C:\n    def used(self) -> None: ...\nC().used()",
        "class C:\n    used: int = 0\ndef f(c) -> object:\n    return c.used\nC(), f",
        "class C:\n    def used(self) -> None: ...\ndef f(c: C) -> None:\n    getattr(c, 'used')()\nf",
    ],
)
def test_what_is_used_is_not_found(lines: str, tmp_path: Path) -> None:
    (tmp_path / "climate_ref_prefect_tried.py").write_text(lines)
    assert unused_names([("climate_ref_prefect_tried", tmp_path / "climate_ref_prefect_tried.py")], tmp_path) == []
