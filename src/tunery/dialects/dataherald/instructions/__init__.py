"""What every SQL of a database should heed."""
