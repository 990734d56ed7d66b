"""Instructions on the wire."""

from collections.abc import Mapping
from typing import Annotated

import msgspec
from pydantic import Field

from tunery.dialects.dataherald.fields import LONGEST_TEXT, Body, Metadata, ObjectId
from tunery.dialects.fields import STORABLE

_Instruction = Annotated[str, Field(min_length=3, max_length=LONGEST_TEXT), STORABLE]


class InstructionRequest(Body):
    """A new instruction."""

    instruction: _Instruction
    db_connection_id: ObjectId
    metadata: Metadata | None = None


class UpdateInstruction(Body):
    """An instruction in other words."""

    instruction: _Instruction
    metadata: Metadata | None = None


class InstructionResponse(msgspec.Struct, frozen=True, kw_only=True):
    """An instruction."""

    id: str
    db_connection_id: str
    instruction: str
    metadata: Mapping[str, object] | None
    created_at: str


class Deleted(msgspec.Struct, frozen=True, kw_only=True):
    """What a delete answers."""

    status: str = "success"
