"""The learning itself: `python -m tunery.trainers` takes a job in and prints progress."""
