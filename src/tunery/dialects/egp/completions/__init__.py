"""Asking models for text, in Scale's two ways: by a deployment, and by a model's name."""
