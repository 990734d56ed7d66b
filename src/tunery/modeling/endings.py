"""What ends an answer."""

from __future__ import annotations

from tunery.core.errors import Unsupported
from tunery.modeling.base import Base
from tunery.modeling.chat import Chat


def stop_ids(base: Base, chat: Chat) -> frozenset[int]:
    """Tokens that end an answer: the template's, and those that the model itself names."""
    configured = getattr(base.model.generation_config, "eos_token_id", None)
    own = set(configured) if isinstance(configured, list) else {configured}
    try:
        own |= chat.stop_ids
    except Unsupported:
        # Such a template cannot be trained with, but the model may still be tried.
        own.add(chat.tokenizer.eos_token_id)
    return frozenset(token for token in own if token is not None)
