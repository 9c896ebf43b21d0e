"""What Prefect shows of a solve: task runs sent in batches, artifacts; and what to do while it does not answer."""
