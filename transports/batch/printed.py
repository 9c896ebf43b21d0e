"""What commands of a scheduler print, without what a site prints around it."""

import re
from typing import Final

_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
"""Colours and other commands for a terminal."""
_PARSABLE: Final = re.compile(r"(\d+)(?:;([\w.-]+))?")
_LONG_FORM: Final = re.compile(r"\bSubmitted batch job (\d+)(?: on cluster ([\w.-]+))?")
_LONGEST_MESSAGE: Final = 2000


def shortened(words: str) -> str:
    """Return words for a message: of more than 2000 characters the middle is left out."""
    left_out = len(words) - _LONGEST_MESSAGE
    if left_out <= 0:
        return words
    half = _LONGEST_MESSAGE // 2
    return f"{words[:half]} [{left_out} characters left out] {words[-half:]}"


def lines_of(printed: str) -> list[str]:
    """Return the lines that are not empty, without colours and without blanks around them."""
    lines = (line.strip() for line in re.split(r"[\r\n]+", _ESCAPES.sub("", printed)))
    return [line for line in lines if line]


def slurm_job_numbers(printed: str) -> list[str]:
    """
    Return what `sbatch` has printed that can be the number of a job, with its cluster where that was said: `4711;cm2`.

    A site may print lines around it, and the long form although `--parsable` was asked for.
    """
    lines = lines_of(printed)
    parsable = [match for match in map(_PARSABLE.fullmatch, lines) if match]
    long_form = [match for match in map(_LONG_FORM.search, lines) if match]
    of_clusters = [match for match in parsable if match[2]]
    found = long_form or of_clusters or parsable
    return list(dict.fromkeys(f"{match[1]};{match[2]}" if match[2] else match[1] for match in found))
