"""Paths in job scripts: quoted for the shell and for directives, refused where the scheduler takes none of them."""

import re
import shlex
from typing import Final

_VARIABLE: Final = re.compile(r"\$(?:[A-Za-z_]\w*|\{[^{}]*\})")
_SPECIAL: Final = re.compile(r'(["\\`$])')


def directive(option: str) -> str:
    """
    Return an option as a directive that `sbatch` and `qsub` read as one word.

    Both take what stands between quotes as it is, and quoted parts that follow each other as one word.
    """
    if not re.search(r"""[\s"'\\#()&;<>|*?$`!]""", option):
        return option
    return f'"{option}"' if not re.search(r'["\\$`]', option) else shlex.quote(option)


def word_of_shell(text: str) -> str:
    """
    Return a path as one word of the job's shell, in which a home at its beginning and variables are expanded.

    `~/`, `$NAME` and `${NAME:-else}` are the shell's; everything else is meant as it stands there.
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
    """Whether a text has a variable of the environment in it."""
    return _VARIABLE.search(text) is not None


def check_one_line(text: str) -> str:
    """
    Return a text without characters that end a line or cannot be seen.

    Raises
    ------
    ValueError
        If there are any.
    """
    for character in text:
        if ord(character) < ord(" ") or ord(character) == 0x7F:  # noqa: PLR2004 - DEL
            raise ValueError(f"{text!r} has the character {character!r}, which no job script can have in a path")
    return text
