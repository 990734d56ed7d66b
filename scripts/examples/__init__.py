"""The example data sets: made from templates with a fixed seed, by `python -m scripts.examples`."""
