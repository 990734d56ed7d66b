"""Prompts in Dataherald's words, and back."""

from tunery.core.text_to_sql import Prompt
from tunery.dialects.dataherald.fields import stamped
from tunery.dialects.dataherald.prompts.schemas import PromptRequest, PromptResponse
from tunery.service.text_to_sql.prompts import NewPrompt


def to_core(body: PromptRequest) -> NewPrompt:
    """The prompt that `body` brings."""
    return NewPrompt(
        db_connection_id=body.db_connection_id,
        text=body.text,
        schemas=None if body.schemas is None else tuple(body.schemas),
        metadata=body.metadata,
    )


def to_wire(prompt: Prompt) -> PromptResponse:
    """`prompt` as every route answers it."""
    return PromptResponse(
        id=prompt.id,
        metadata=prompt.metadata,
        created_at=stamped(prompt.created_at),
        text=prompt.text,
        db_connection_id=prompt.db_connection_id,
        schemas=prompt.schemas,
    )
