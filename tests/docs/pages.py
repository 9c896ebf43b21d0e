"""The Markdown pages of the checkout, their links and their code."""

import re
from dataclasses import dataclass
from pathlib import Path

from tests.packaging.checkout import ROOT, tracked

DOCS = ROOT / "docs"
_FENCE = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+?)$", re.MULTILINE)
_MARKED = re.compile(
    r"^<!-- (?:file: (?P<file>\S+)|runnable) -->\n```python\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Example:
    """A block of Python that a page marks: to be kept as a file, or to be run."""

    file: str | None
    code: str


def pages() -> list[str]:
    """Return every Markdown page, relative to the root."""
    return [name for name in tracked() if name.endswith(".md")]


def examples(page: Path) -> list[Example]:
    """Return the marked blocks of a page, in their order."""
    return [Example(found["file"], found["code"]) for found in _MARKED.finditer(page.read_text())]


def relative_links(page: Path) -> list[str]:
    """Return the links of a page that lead to files of the checkout."""
    prose = _CODE.sub("", _FENCE.sub("", page.read_text()))
    return [link for link in _LINK.findall(prose) if "://" not in link and not link.startswith("mailto:")]


def anchors(page: Path) -> set[str]:
    """Return the anchors that code hosts give the headings of a page."""
    headings = _HEADING.findall(_FENCE.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
