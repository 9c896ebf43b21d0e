"""A provider for tests whose import ends in a segmentation fault."""

import ctypes

print("asking the licence server", flush=True)  # noqa: T201 - this goes to run.log
ctypes.string_at(0)
