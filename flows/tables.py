"""Tables for consoles and notebooks."""

from collections.abc import Iterable, Sequence
from html import escape

from rich.box import SIMPLE_HEAD
from rich.table import Column, Table


def console_table(name: str, *columns: str, title: str | None = None) -> Table:
    """Return an empty table whose first column, the name, is shown whole however narrow the console is."""
    return Table(Column(name, no_wrap=True, overflow="fold"), *columns, title=title, box=SIMPLE_HEAD)


def html_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table as HTML; every cell is escaped."""
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def paragraphs(*texts: str) -> str:
    """Return texts as HTML paragraphs."""
    return "".join(f"<p>{escape(text)}</p>" for text in texts)
