"""
Escape text from others before it is shown: from diagnostics, providers, file names, schedulers and users.

Such text must not be interpreted as rich markup, Markdown, HTML or terminal codes. Code that shows it uses one of these
functions. The store, the files on scratch and the results keep it unchanged.
"""

import re
from html import escape as escape_html
from typing import Final
from unicodedata import category

from rich.text import Text

LONGEST_MESSAGE: Final = 2_000
"""Characters of a message that a report shows. The rest is in the log of the execution."""
LONGEST_CELL: Final = 300
"""Characters of a message in one line of a table."""

_BACKTICKS: Final = re.compile("`+")
_MEANS_NOTHING: Final = re.compile(
    r"(?!.*www\.)[A-Za-z](?:[A-Za-z0-9 .,;#%='()/-]|:(?!/)|(?<=[A-Za-z0-9])_(?=[A-Za-z0-9]))*", re.ASCII
)
"""A line without any Markdown syntax: no emphasis, link, code, HTML, list or heading."""


def escape_control_characters(text: str) -> str:
    r"""
    Return a text of one or more lines with its control characters as escapes (`\x1b`, `\u202e`, `\udcff`).

    Line feeds, tabs and spaces of every width stay. Terminal codes, direction marks, invisible characters and lone
    surrogates are escaped.
    """
    if text.isprintable():
        return text
    return "".join(character if _is_harmless(character) else _escaped(character) for character in text)


def one_line(text: str, longest: int = LONGEST_CELL) -> str:
    """Return a text as one line: line ends and tabs are escaped, too, and it is cut to `longest` characters."""
    line = escape_control_characters(text.strip().replace("\r\n", "\n"))
    return shortened(line.replace("\n", "\\n").replace("\t", "\\t"), longest)


def shortened(text: str, longest: int = LONGEST_MESSAGE) -> str:
    """Return a text that is cut after `longest` characters, and then says how many are missing."""
    left_out = len(text) - longest
    return text if left_out <= 0 else f"{text[:longest]} [... and {left_out} more characters]"


def rich_text(text: str, longest: int = LONGEST_MESSAGE) -> Text:
    """Return a text for any rich console, without markup, emoji or highlighting."""
    return Text(shortened(escape_control_characters(text), longest))


def html_text(text: str, longest: int = LONGEST_MESSAGE) -> str:
    """Return a text for HTML."""
    return escape_html(shortened(escape_control_characters(text), longest))


def markdown_text(text: str, longest: int = LONGEST_MESSAGE) -> str:
    """
    Return a text for Markdown: as code, in which no syntax has a meaning, unless the text contains no syntax.

    A text escaped by backslashes could still become a link (`https://...`). Of Prefect's two UIs, one shows every
    string in a table as Markdown, the other unchanged.
    """
    line = one_line(text, longest)
    if not line or _MEANS_NOTHING.fullmatch(line):
        return line
    fence = "`" * (1 + max(map(len, _BACKTICKS.findall(line)), default=0))
    blank = " " if line[0] == "`" or line[-1] == "`" else ""
    return f"{fence}{blank}{line}{blank}{fence}"


def _is_harmless(character: str) -> bool:
    return character in "\n\t" or character.isprintable() or category(character) == "Zs"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
