"""Reports on solves, for shells, notebooks and Prefect's user interface."""
