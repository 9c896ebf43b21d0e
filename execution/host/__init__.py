"""Queries to the operating system of this host: processes, cgroups, environment variables, the batch job."""
