import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, anchors, examples, pages, relative_links
from tests.packaging.checkout import ROOT

_SECONDS = 200


@pytest.mark.parametrize("page", pages())
def test_relative_links_lead_somewhere(page: str) -> None:
    source = ROOT / page
    for link in relative_links(source):
        path, _, anchor = link.partition("#")
        target = (source.parent / path).resolve() if path else source
        assert target.exists(), f"{page} links to {link}"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{page} links to {link}"


@pytest.mark.parametrize(
    "page",
    [
        pytest.param("tutorial/own-diagnostic.md", marks=pytest.mark.slow),
        pytest.param("how-to/write-a-recorder.md", marks=pytest.mark.slow),
        "reference/python-api.md",
        "explanation/batch.md",
    ],
)
def test_marked_examples_run(page: str, tmp_path: Path) -> None:
    marked = examples(DOCS / page)
    assert any(example.file is None for example in marked)
    for example in marked:
        if example.file is not None:
            (tmp_path / example.file).write_text(example.code)
        else:
            run(example.code, tmp_path)


def run(code: str, directory: Path) -> None:
    """Run code as a script that lies in a directory, with a state directory of its own there."""
    script = directory / "example.py"
    script.write_text(code)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CLIMATE_REF_PREFECT_")}
    ended = subprocess.run(
        [sys.executable, script.name],
        cwd=directory,
        env={
            **environment,
            "CLIMATE_REF_PREFECT_HOME": str(directory / "home"),
            "CLIMATE_REF_PREFECT_SERVER_LIFETIME": "PT0S",
        },
        check=False,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
