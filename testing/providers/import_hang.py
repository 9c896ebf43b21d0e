"""A provider for tests whose import never ends."""

import time

print("waiting for the licence server", flush=True)  # noqa: T201 - this goes to run.log
time.sleep(600)
