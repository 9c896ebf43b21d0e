"""Clean the output of scheduler commands: terminal colours and empty lines are removed, long output is shortened."""

import re
from typing import Final

_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
"""Colours and other commands for a terminal."""
_LONGEST_MESSAGE: Final = 2000


def shortened(words: str) -> str:
    """Return text for a message. If it has more than 2000 characters, its middle is left out."""
    left_out = len(words) - _LONGEST_MESSAGE
    if left_out <= 0:
        return words
    half = _LONGEST_MESSAGE // 2
    return f"{words[:half]} [{left_out} characters left out] {words[-half:]}"


def lines_of(printed: str) -> list[str]:
    """Return the lines that are not empty, without colours and without blanks around them."""
    lines = (line.strip() for line in re.split(r"[\r\n]+", _ESCAPES.sub("", printed)))
    return [line for line in lines if line]
