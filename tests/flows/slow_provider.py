"""
A provider whose import waits while a file of the test's holds it.

What has planned runs the executions that ask for one processor too; for those that ask for more it is imported again.
"""

import time

from climate_ref_prefect.diagnostics.provider import DiagnosticProvider
from tests.flows.providers import DIAGNOSTICS
from tests.flows.run_log import notes

with (notes() / "imports").open("a") as file:
    file.write("once\n")
number = len((notes() / "imports").read_text().splitlines())
while (notes() / f"hold-import-{number}").exists():
    time.sleep(0.01)

provider = DiagnosticProvider("flows", "Provider of these tests, slow to import", "1", DIAGNOSTICS)
