"""Instructions in Dataherald's words, and back."""

from tunery.core.text_to_sql import Instruction
from tunery.dialects.dataherald.fields import stamped
from tunery.dialects.dataherald.instructions.schemas import (
    InstructionRequest,
    InstructionResponse,
)
from tunery.service.text_to_sql.instructions import NewInstruction


def to_core(body: InstructionRequest) -> NewInstruction:
    """The instruction that `body` gives."""
    return NewInstruction(
        db_connection_id=body.db_connection_id,
        instruction=body.instruction,
        metadata=body.metadata,
    )


def to_wire(instruction: Instruction) -> InstructionResponse:
    """`instruction` as every route answers it."""
    return InstructionResponse(
        id=instruction.id,
        db_connection_id=instruction.db_connection_id,
        instruction=instruction.instruction,
        metadata=instruction.metadata,
        created_at=stamped(instruction.created_at),
    )
