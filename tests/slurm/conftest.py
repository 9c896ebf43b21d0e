"""A cluster for the tests of the cluster."""

from tests.slurm.fixtures import slurm

__all__ = ["slurm"]
