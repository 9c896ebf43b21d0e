"""Where an execution runs: the port, one adapter per backend, the worker that every backend calls."""
