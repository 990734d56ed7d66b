"""Images that tuned models draw."""
