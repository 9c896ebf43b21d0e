"""Prefect's server: a local one, and what keeps its record of task runs complete."""
