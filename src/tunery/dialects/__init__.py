"""One folder per wire format: a dialect translates, and nothing else."""

from tunery.dialects import openai, tunery

DIALECTS = (openai.router, tunery.router)
"""The routers that the server includes."""
