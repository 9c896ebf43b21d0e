"""Quote paths in job scripts for the shell and for directives, and refuse those that no scheduler accepts."""

import re
import shlex
from typing import Final

_VARIABLE: Final = re.compile(r"\$(?:[A-Za-z_]\w*|\{[^{}]*\})")
_SPECIAL: Final = re.compile(r'(["\\`$])')


def directive(option: str) -> str:
    """
    Return an option as a directive that `sbatch` and `qsub` read as one word.

    Both read text in quotes unchanged, and adjacent quoted parts as one word.
    """
    if not re.search(r"""[\s"'\\#()&;<>|*?$`!]""", option):
        return option
    return f'"{option}"' if not re.search(r'["\\$`]', option) else shlex.quote(option)


def word_of_shell(text: str) -> str:
    """
    Return a path as one word of the job's shell, in which a leading `~` and variables are expanded.

    The shell expands `~/`, `$NAME` and `${NAME:-else}`; everything else is literal.
    """
    home = re.match(r"~[\w.-]*(?:/|$)", text)
    beginning = home[0] if home else ""
    rest = text[len(beginning) :]
    if not rest:
        return beginning or "''"
    if re.fullmatch(r"[\w./@%+=:,-]+", rest, re.ASCII):
        return text
    parts, at = [], 0
    for variable in _VARIABLE.finditer(rest):
        parts += [_SPECIAL.sub(r"\\\1", rest[at : variable.start()]), variable[0]]
        at = variable.end()
    parts.append(_SPECIAL.sub(r"\\\1", rest[at:]))
    return f'{beginning}"{"".join(parts)}"'


def names_variable(text: str) -> bool:
    """Whether a text contains an environment variable."""
    return _VARIABLE.search(text) is not None


def check_one_line(text: str) -> str:
    """
    Return a text after checking that it has no line breaks or invisible characters.

    Raises
    ------
    ValueError
        If there are any.
    """
    for character in text:
        if ord(character) < ord(" ") or ord(character) == 0x7F:  # noqa: PLR2004 - DEL
            raise ValueError(f"{text!r} has the character {character!r}, which no job script can have in a path")
    return text
