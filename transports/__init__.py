"""Where an execution runs: the port to backends, and one adapter per backend."""
