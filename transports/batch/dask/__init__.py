"""What of a batch transport needs Dask: it is imported when the first job is to be submitted."""
