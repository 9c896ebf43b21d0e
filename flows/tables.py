"""Tables for consoles and notebooks."""

from collections.abc import Iterable, Sequence
from io import StringIO
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.table import Column, Table

from climate_ref_prefect.flows.plain_text import html_text, rich_text

_WIDTH: Final = 160


def console_table(name: str, *columns: str, title: str | None = None) -> Table:
    """Return an empty table whose first column, the name, is never truncated, however narrow the console is."""
    others = (Column(each, overflow="fold") for each in columns)  # Otherwise the end of a long path would be cut off.
    return Table(Column(name, no_wrap=True, overflow="fold"), *others, title=title, box=SIMPLE_HEAD)


def add_row(table: Table, cells: Iterable[str]) -> None:
    """Add a row whose cells are plain text on every console."""
    table.add_row(*map(rich_text, cells))


def html_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table as HTML, with every cell escaped."""
    head = "".join(f"<th>{html_text(column)}</th>" for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{html_text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def paragraphs(*texts: str) -> str:
    """Return texts as HTML paragraphs."""
    return "".join(f"<p>{html_text(text)}</p>" for text in texts)


def as_text(shown: RenderableType) -> str:
    """Return the text that a console would show, for `print(...)` and for logs."""
    console = Console(file=StringIO(), width=_WIDTH, soft_wrap=True, color_system=None, force_jupyter=False)
    with console.capture() as captured:
        console.print(shown)
    return captured.get().rstrip("\n")
