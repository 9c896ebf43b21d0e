"""A provider whose import waits while a file of the test's holds it: the first import plans, the second one runs."""

import time

from climate_ref_prefect.diagnostics.provider import DiagnosticProvider
from tests.flows.notes import notes
from tests.flows.providers import DIAGNOSTICS

with (notes() / "imports").open("a") as file:
    file.write("once\n")
number = len((notes() / "imports").read_text().splitlines())
while (notes() / f"hold-import-{number}").exists():
    time.sleep(0.01)

provider = DiagnosticProvider("flows", "Provider of these tests, slow to import", "1", DIAGNOSTICS)
