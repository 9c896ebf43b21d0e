"""How long a solve takes to start."""
