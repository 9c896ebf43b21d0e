"""A provider for tests whose import ends its process."""

import sys

sys.exit(4)
