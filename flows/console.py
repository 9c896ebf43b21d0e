"""The console of the command: every string that is printed on it, or in a table on it, is text."""

import sys
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from climate_ref_prefect.flows.plain_text import visible

_WIDTH_WITHOUT_TERMINAL: Final = 160


class PlainConsole(Console):
    """
    A console for which a string is what it says: no markup, no emoji, no highlighting, no codes of a terminal.

    Parameters
    ----------
    errors
        Whether it prints on stderr; otherwise on stdout. Both are looked up at each print.
    """

    def __init__(self, *, errors: bool = False) -> None:
        stream = sys.stderr if errors else sys.stdout
        width = None if stream is not None and stream.isatty() else _WIDTH_WITHOUT_TERMINAL
        super().__init__(stderr=errors, soft_wrap=True, width=width, markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a string as text; rich asks for it wherever it meets one, in cells of tables too."""
        return super().render_str(visible(text), **{**options, "markup": False, "emoji": False})
