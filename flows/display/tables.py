"""Tables for consoles and notebooks, and reports that show themselves as tables."""

from collections.abc import Iterable, Iterator, Sequence
from io import StringIO
from typing import ClassVar, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Column, Table

from climate_ref_prefect.diagnostics.base_models import FrozenModel
from climate_ref_prefect.flows.display.text_escaping import html_text, rich_text

_WIDTH: Final = 160


class TabularReport(FrozenModel):
    """Shows itself as a table, a headline and remarks, on consoles, in logs and in notebooks."""

    columns: ClassVar[tuple[str, ...]]

    def headline(self) -> str:
        """Return the outcome in one sentence."""
        raise NotImplementedError

    def cells(self) -> Iterator[tuple[str, ...]]:
        """Yield the rows of the table, each with a text per column."""
        raise NotImplementedError

    def remarks(self) -> Iterator[str]:
        """Yield the sentences that follow the headline."""
        yield from ()

    def tables(self) -> Iterator[Table]:
        """Yield what consoles show before the headline: the table, unless it has no row."""
        rows = list(self.cells())
        if rows:
            table = console_table(*self.columns)
            for cells in rows:
                add_row(table, cells)
            yield table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from self.tables()
        yield from map(rich_text, (self.headline(), *self.remarks()))

    def __str__(self) -> str:
        return as_text(self)

    def _repr_html_(self) -> str:
        rows = list(self.cells())
        table = html_table(self.columns, rows) if rows else ""
        return table + paragraphs(self.headline(), *self.remarks())


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
