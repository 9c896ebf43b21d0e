"""A provider for tests whose import closes the standard streams, as what turns itself into a daemon does."""

import sys

from climate_ref_prefect.diagnostics.provider import DiagnosticProvider
from tests.faulty_diagnostics import Behaving

sys.stdout.close()
sys.stderr.close()
provider = DiagnosticProvider("closing", "Closes its streams", "1", [Behaving("noop", lambda _: None)])
