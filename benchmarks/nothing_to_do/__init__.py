"""What it costs to learn that nothing is to run."""
