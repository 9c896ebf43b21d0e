"""Transports that run executions as child processes of this machine."""
