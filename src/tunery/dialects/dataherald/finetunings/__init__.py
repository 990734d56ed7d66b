"""Jobs that are made from golden records."""
