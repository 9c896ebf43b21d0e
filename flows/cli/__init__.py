"""The command `climate-ref-prefect`."""
