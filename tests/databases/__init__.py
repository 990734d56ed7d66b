"""Customers' databases, real ones."""
