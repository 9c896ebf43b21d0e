"""What an execution costs beside peers: no-ops and real work."""
