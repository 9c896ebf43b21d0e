"""Settings of batch jobs in a site profile: sizes, limits, and the quoting of paths."""
