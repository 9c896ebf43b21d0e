"""How the last words of a pilot begin that could not start: they lie in the output of its job."""

from typing import Final

NO_COORDINATOR: Final = "No coordinator answered"
NO_KEYS: Final = "The keys for the coordinator cannot be read"
