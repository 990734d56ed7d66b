"""Databases of the customer's."""
