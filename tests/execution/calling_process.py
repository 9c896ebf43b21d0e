"""
A process that runs one execution and can be killed: `python -m tests.execution.calling_process DIRECTORY`.

It prints the outcome as one line of JSON.
"""

import sys
from pathlib import Path

from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.transports.this_machine.in_parallel import LocalTransport
from climate_ref_prefect.transports.transport_driver import TransportDriver


def main(directory: str) -> None:
    """Run the execution on a local transport."""
    envelope = ExecutionDirectory(Path(directory)).read_envelope()
    driver = TransportDriver(LocalTransport(cpu=2))
    outcome = driver.run(Path(directory), envelope.resources)
    driver.close(10.0)
    sys.stdout.write(outcome.to_json() + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
