"""Trying a model: a child process that swaps adapters over one base."""
