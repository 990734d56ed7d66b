"""One folder per wire format: a dialect translates, and nothing else."""
