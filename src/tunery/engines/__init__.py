"""Ways to carry out a job, by name; choosing one is what imports it."""

ENGINES = {"local": "tunery.engines.process:LocalEngine"}
"""Name -> "module:builder"."""
