"""Jobs that learn from pictures."""
