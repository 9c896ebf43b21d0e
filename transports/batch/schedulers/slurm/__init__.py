"""SLURM: its transport, its commands, the parser of their output, and the messages of refusals."""
