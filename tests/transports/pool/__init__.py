"""The decisions of a pool of batch jobs, without a cluster: events in, actions out."""
