"""Models: list, retrieve, delete."""
