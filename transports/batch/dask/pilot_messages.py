"""Prefixes of the messages that a pilot prints into the output of its job if it cannot start."""

from typing import Final

NO_COORDINATOR: Final = "No coordinator answered"
NO_KEYS: Final = "The keys for the coordinator cannot be read"
