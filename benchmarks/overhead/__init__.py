"""What an execution costs beside the diagnostic itself."""
