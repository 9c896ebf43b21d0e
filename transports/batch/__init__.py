"""Transports to batch schedulers: a pool of jobs of several sizes, with Dask workers in them as pilots."""
