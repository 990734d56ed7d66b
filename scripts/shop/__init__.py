"""A small shop: its database, golden records over it, and questions that are not among them."""
