"""SLURM: what a site profile says of it, its commands, what they print, and the words in which it refuses a job."""
