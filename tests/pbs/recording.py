"""What real PBS servers have answered, and commands that give these answers again."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

OPENPBS = Path(__file__).parent / "recordings" / "openpbs-23.06.txt"
"""A session with a real OpenPBS 23.06."""
JOBS = OPENPBS.with_suffix("")
"""What another session with one answered of single jobs, and about submissions; `ORIGIN` says what is what."""
_SUBMISSION = re.compile(r"^\$ (qsub [^\n]*)\n(.*?)^rc=(\d+)$", re.MULTILINE | re.DOTALL)
_ENTRY = re.compile(
    r"^\$ ([^\n]*)\nrc=(\d+)\n--- stdout\n(.*?)\n?--- stderr\n(.*?)(?=^\$ |^# |\Z)", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Recording:
    """A command, and how it was answered; without the ends of the last lines."""

    command: str
    code: int
    stdout: str
    stderr: str


def read_recordings(path: Path = OPENPBS) -> list[Recording]:
    """Return all that was recorded, in order."""
    return [
        Recording(entry[1], int(entry[2]), entry[3].rstrip("\n"), entry[4].rstrip("\n"))
        for entry in _ENTRY.finditer(path.read_text())
    ]


def recorded_job(name: str) -> Recording:
    """Return what `qstat` printed of a job: JSON, and complaints before it."""
    text = (JOBS / f"{name}.json").read_text(encoding="utf-8")
    complaints, brace, document = text.partition("{")
    return Recording("qstat", 153 if complaints else 0, brace + document, complaints)


def recorded_submissions(name: str) -> list[Recording]:
    """Return how submissions were answered."""
    found = _SUBMISSION.finditer((JOBS / f"{name}.txt").read_text(encoding="utf-8"))
    return [
        Recording(entry[1], int(entry[3]), *(("", entry[2]) if int(entry[3]) else (entry[2].rstrip("\n"), "")))
        for entry in found
    ]


def recorded(command: str, code: int = 0) -> Recording:
    """Return the first recording of a command that ended with this code."""
    return next(entry for entry in read_recordings() if (entry.command, entry.code) == (command, code))


def write_program(directory: Path, name: str, *answers: Recording) -> None:
    """Write a program that gives these answers, one for each time it is called, and the last one for ever."""
    for number, answer in enumerate(answers, start=1):
        (directory / f"{name}.{number}.stdout").write_text(answer.stdout and f"{answer.stdout}\n")
        (directory / f"{name}.{number}.stderr").write_text(answer.stderr and f"{answer.stderr}\n")
        (directory / f"{name}.{number}.code").write_text(f"{answer.code}\n")
    program = directory / name
    program.write_text(_PROGRAM.format(base=shlex.quote(str(program)), last=len(answers)))
    program.chmod(0o755)


_PROGRAM = """\
#!/bin/sh
base={base}
printf '%s\\n' "$*" >> "$base.calls"
number=$(grep -c '' "$base.calls")
[ "$number" -le {last} ] || number={last}
cat "$base.$number.stdout"
cat "$base.$number.stderr" >&2
exit "$(cat "$base.$number.code")"
"""
