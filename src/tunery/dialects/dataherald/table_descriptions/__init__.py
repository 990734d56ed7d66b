"""Tables of connected databases."""
