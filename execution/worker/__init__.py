"""The worker: the processes that run one execution on any node."""
