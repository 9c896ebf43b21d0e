"""Dask in batch jobs: the workers, the connection to them, its keys and the job script."""
