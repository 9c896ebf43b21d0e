"""
Processes that race for one file: `python -m tests.execution.claim_race DIRECTORY NUMBER METHOD`.

Each forked process claims or closes the execution at the same moment; printed is how many say that they did it.
"""

import os
import sys
from pathlib import Path

from climate_ref_prefect.execution.claim import Claim
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory


def race(directory: ExecutionDirectory, number: int, method: str) -> int:
    """Return how many of the racers won."""
    gun_reading, gun_writing = os.pipe()
    result_reading, result_writing = os.pipe()
    for _ in range(number):
        if os.fork() == 0:
            os.close(gun_writing)
            os.read(gun_reading, 1)  # ends with the last writer
            won = directory.claim(Claim.of_this_process()) if method == "claim" else directory.close("raced")
            os.write(result_writing, b"1" if won else b"0")
            os._exit(0)
    os.close(gun_writing)
    os.close(result_writing)
    answers = b""
    while read := os.read(result_reading, 1 << 12):
        answers += read
    for _ in range(number):
        os.wait()
    assert len(answers) == number
    return answers.count(b"1")


if __name__ == "__main__":
    path, number, method = sys.argv[1:]
    sys.stdout.write(str(race(ExecutionDirectory(Path(path)), int(number), method)))
