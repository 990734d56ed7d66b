"""Ways to carry out a job."""
