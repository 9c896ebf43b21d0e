"""What planning costs: the catalogue of the data, a solve with nothing to do, and groups that share an ensemble."""
