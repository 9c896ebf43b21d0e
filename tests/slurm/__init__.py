"""A SLURM cluster of the tests' own: `cluster.SlurmCluster`, and the fixture `fixtures.slurm`."""
