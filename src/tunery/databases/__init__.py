"""Databases of the customer's: the `Databases` port over SQLAlchemy Core, read-only and bounded."""
