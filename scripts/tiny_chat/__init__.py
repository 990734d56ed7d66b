"""How the built-in base model `tiny-chat` is made: `python -m scripts.tiny_chat`."""
