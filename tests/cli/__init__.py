"""Tests of the command line, against a server of canned answers."""
