"""PBS: its transport, its commands, the parser of their output, and the exit codes of refusals."""
