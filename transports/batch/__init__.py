"""What the transports for batch systems have in common: pools of sized jobs, and Dask workers in them as pilots."""
