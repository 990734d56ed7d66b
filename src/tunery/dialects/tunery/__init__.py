"""What no vendor's API has a word for, under `/tunery/v1`, with OpenAI's way of refusing."""

from tunery.dialects.tunery.keys import router

__all__ = ["router"]
