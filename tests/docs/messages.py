"""Messages that the code can print, and whether a message on a page is one of them."""

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.docs.pages import DOCS
from tests.packaging.checkout import FOLDERS, ROOT, tracked

PAGE = DOCS / "how-to" / "climate-ref.md"
ANYTHING = "\0"
"""Stands in a pattern for what differs from message to message."""
_MOST_FORMATTED = 15
"""How many letters of a message on a page may be an example of what the code formats into it: `table of hints`."""


def messages_of_page() -> list[str]:
    """Return the messages in the tables of troubleshooting, with `...` for what differs."""
    section = PAGE.read_text(encoding="utf-8").partition("## When it says")[2]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return [message for row in rows for message in re.findall(r"`([^`]+)`", row)]


def texts(files: Sequence[Path]) -> Iterator[str]:
    """Yield every text in some modules but docstrings, with `ANYTHING` for what is formatted into it."""
    for file in files:
        nodes = list(ast.walk(ast.parse(file.read_bytes())))
        documentation = {node.value for node in nodes if isinstance(node, ast.Expr)}
        yield from {_pattern(node) for node in nodes if node not in documentation} - {"", ANYTHING}


def raised(names: set[str]) -> Iterator[str]:
    """Yield the messages of some errors that `ref/` raises."""
    for file in modules("ref"):
        for node in ast.walk(ast.parse(file.read_bytes())):
            call = node.exc if isinstance(node, ast.Raise) else None
            if isinstance(call, ast.Call) and call.args and getattr(call.func, "id", "") in names:
                yield _pattern(call.args[0])


def modules(*folders: str) -> list[Path]:
    """Return the modules of folders of this package; of all of them without an argument."""
    return [ROOT / name for name in tracked(*(folders or FOLDERS)) if name.endswith(".py")]


def _pattern(node: ast.AST) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(str(one.value) if isinstance(one, ast.Constant) else ANYTHING for one in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def is_one_of(message: str, patterns: Sequence[str]) -> bool:
    """Whether a message on a page can come from one of some patterns, or be the beginning or the end of it."""
    shown = message.replace("...", ANYTHING)
    letters = len(shown.replace(ANYTHING, ""))
    wanted = max(letters / 2, letters - _MOST_FORMATTED)
    long_enough = (pattern.replace("`", "") for pattern in patterns if len(pattern) >= wanted)
    return any(_common(shown, pattern) >= wanted for pattern in long_enough if _shares_words(shown, pattern))


def _shares_words(shown: str, pattern: str) -> bool:
    """Whether half of the words are the same: a cheap look, which spares most texts the dear one."""
    words = set(re.findall("[A-Za-z]{2,}", shown))
    return 2 * len(words & set(re.findall("[A-Za-z]{2,}", pattern))) >= len(words)


def _common(shown: str, pattern: str) -> float:
    """Return how many letters of both are the same where some text fits both; less than nothing if none does."""
    impossible = float("-inf")
    row = [0.0] * (len(pattern) + 1)  # `shown` may begin anywhere in the pattern
    for letter in shown:
        above, row = row, [impossible] * (len(pattern) + 1)
        if letter == ANYTHING:
            row[0] = above[0]
        for column, own in enumerate(pattern, 1):
            if letter == ANYTHING:
                row[column] = max(above[column], row[column - 1], above[column - 1])
            elif own == ANYTHING:
                row[column] = max(above[column], above[column - 1], row[column - 1])
            elif letter == own:
                row[column] = above[column - 1] + 1
    return max(row)
