"""The options of `qsub`, from the command line and from the `#PBS` lines of a script."""

import getopt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.pbs.errors import UsageError

_OPTIONS = "a:A:c:C:e:fhIj:J:k:l:m:M:N:o:p:P:q:r:R:S:u:v:VW:Xz"
_NOT_EMULATED = "aCIJkRWX"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+.-]{0,229}")
_SCRIPT_NAME = re.compile(r"[A-Za-z0-9_+.-]{1,230}")
_DIRECTIVE = "#PBS"


@dataclass(frozen=True)
class Submission:
    """What is submitted: options, and a script or a command."""

    options: Mapping[str, str]
    """Each option without its dash; of two the first one counts, and the command line counts first."""
    resource_lists: Sequence[str]
    script: str
    command: Sequence[str]
    name: str

    def flag(self, option: str) -> bool:
        """Return whether an option without a value was given."""
        return option in self.options


@dataclass(frozen=True)
class _Line:
    """The command line, taken apart."""

    pairs: list[tuple[str, str]]
    script: str | None
    command: list[str]


def read_submission(arguments: Sequence[str], directory: Path, standard_input: str | None) -> Submission:
    """
    Read the command line and the script that it names; `standard_input` where it names none.

    Raises
    ------
    UsageError
        If the options make no sense.
    OSError
        If the script cannot be read.
    """
    line = _command_line(arguments)
    path = None if line.script in (None, "-") else directory / str(line.script)
    script = "" if line.command else (path.read_text() if path else standard_input or "")
    pairs = [*line.pairs, *_directives(script)]
    options: dict[str, str] = {}
    for option, value in pairs:
        options.setdefault(option, value)
    lists = [value for option, value in pairs if option == "l"]
    return Submission(options, lists, script, line.command, _check(options, path))


def needs_standard_input(arguments: Sequence[str]) -> bool:
    """Return whether the script comes from standard input."""
    line = _command_line(arguments)
    return not line.command and line.script in (None, "-")


def _command_line(arguments: Sequence[str]) -> _Line:
    pairs, rest = _getopt(arguments)
    before = arguments[: len(arguments) - len(rest)]
    if before and before[-1] == "--":
        return _Line(pairs, None, rest)
    if len(rest) > 1:  # options behind the script are no options, as in the real one
        raise UsageError
    return _Line(pairs, rest[0] if rest else None, [])


def _getopt(arguments: Sequence[str]) -> tuple[list[tuple[str, str]], list[str]]:
    try:
        pairs, rest = getopt.getopt(list(arguments), _OPTIONS)
    except getopt.GetoptError as error:
        words = "option requires an argument" if "argument" in error.msg else "invalid option"
        raise UsageError(f"qsub: {words} -- '{error.opt}'\n") from error
    return [(option[1:], value) for option, value in pairs], rest


def _directives(script: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for line in script.splitlines():
        if line.startswith(_DIRECTIVE) and line[len(_DIRECTIVE) :][:1].isspace():
            pairs, rest = _getopt(_words(line[len(_DIRECTIVE) :]))
            if rest:
                raise UsageError(f"qsub: directive error: {line[len(_DIRECTIVE) :].strip()}\n")
            found += pairs
        elif line.strip() and not line.lstrip().startswith(("#", ":")):
            break
    return found


def _words(directive: str) -> list[str]:
    """Split a directive as `qsub` does: what is between quotes stands as it is, `\\` keeps one character."""
    words: list[str] = []
    word, at = "", 0
    text = directive.strip()
    while at < len(text):
        character = text[at]
        if character in "\"'":
            end = text.find(character, at + 1)
            if end < 0:
                raise UsageError(f"qsub: unmatched {character}\n")
            word, at = word + text[at + 1 : end], end + 1
        elif character == "\\":
            word, at = word + text[at + 1 : at + 2], at + 2
        elif character.isspace():
            words, word = [*words, word], ""
            at = len(text) - len(text[at:].lstrip())
        else:
            word, at = word + character, at + 1
    return [*words, word] if word else words


def _check(options: Mapping[str, str], script: Path | None) -> str:
    name = options.get("N", script.name if script else "STDIN")
    if not (_NAME if "N" in options else _SCRIPT_NAME).fullmatch(name):
        raise UsageError("qsub: illegal -N value\n")
    if missing := [option for option in _NOT_EMULATED if option in options]:
        raise UsageError(f"qsub: the emulator has no -{missing[0]}\n")
    for option in "oe":
        if not re.fullmatch(r"[ -~]*", options.get(option, "")):  # `isprint` in the language C
            raise UsageError(f"qsub: illegal -{option} value\n")
    if options.get("r", "y") not in ("y", "n"):
        raise UsageError("qsub: illegal -r value\n")
    if options.get("j", "n") not in ("oe", "eo", "n"):
        raise UsageError("qsub: illegal -j value\n")
    return name
