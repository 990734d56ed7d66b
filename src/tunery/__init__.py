"""Tunery: a self-hosted fine-tuning server."""

__version__ = "0.1.0"
