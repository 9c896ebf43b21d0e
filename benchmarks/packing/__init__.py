"""How well mixed sizes are packed on a real SLURM."""
