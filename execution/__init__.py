"""One execution: its directory, its documents, and the worker that runs it."""
