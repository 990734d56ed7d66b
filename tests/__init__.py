"""The tests, file for file with the source."""
