"""The console of the command, which prints every string as plain text, also in tables."""

import sys
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from climate_ref_prefect.flows.display.text_escaping import escape_control_characters

_WIDTH_WITHOUT_TERMINAL: Final = 160


class PlainConsole(Console):
    """
    A console that prints strings as they are: no markup, no emoji, no highlighting, no terminal codes.

    Parameters
    ----------
    errors
        Whether it prints on stderr instead of stdout. Both are looked up at each print.
    """

    def __init__(self, *, errors: bool = False) -> None:
        stream = sys.stderr if errors else sys.stdout
        width = None if stream is not None and stream.isatty() else _WIDTH_WITHOUT_TERMINAL
        super().__init__(stderr=errors, soft_wrap=True, width=width, markup=False, emoji=False, highlight=False)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a string as plain text. Rich calls this for every string, also in cells of tables."""
        return super().render_str(escape_control_characters(text), **{**options, "markup": False, "emoji": False})
