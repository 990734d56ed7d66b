"""`/api/v1/instructions`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from tunery.core.pages import NumberedPage
from tunery.dialects.answers import answer
from tunery.dialects.dataherald.errors import DataheraldRoute, service_errors
from tunery.dialects.dataherald.fields import page
from tunery.dialects.dataherald.instructions.mapping import to_core, to_wire
from tunery.dialects.dataherald.instructions.schemas import (
    Deleted,
    InstructionRequest,
    UpdateInstruction,
)
from tunery.dialects.route import caller, services
from tunery.service.text_to_sql.ids import object_id

router = APIRouter(route_class=DataheraldRoute, tags=["instructions"])


@router.post("", status_code=201)
def create(request: Request, body: InstructionRequest) -> Response:
    """Give an instruction that every SQL of a database should heed."""
    with service_errors(body, otherwise="instruction_not_created"):
        instruction = services(request).text_to_sql.instructions.create(
            caller(request), to_core(body)
        )
    return answer(to_wire(instruction), status=201)


@router.get("")
def list_instructions(
    request: Request,
    paging: Annotated[NumberedPage, Depends(page)],
    db_connection_id: str | None = None,
) -> Response:
    """List instructions by page, oldest first; with `db_connection_id`, those of a connection."""
    instructions = services(request).text_to_sql.instructions.list(
        caller(request), paging, connection_id=(db_connection_id or "").lower() or None
    )
    return answer([to_wire(instruction) for instruction in instructions])


@router.put("/{instruction_id}")
def replace(request: Request, instruction_id: str, body: UpdateInstruction) -> Response:
    """Replace the words and the metadata of an instruction."""
    instruction = services(request).text_to_sql.instructions.replace(
        caller(request),
        object_id(instruction_id, param="instruction_id"),
        body.instruction,
        body.metadata,
    )
    return answer(to_wire(instruction))


@router.delete("/{instruction_id}")
def delete(request: Request, instruction_id: str) -> Response:
    """Delete an instruction."""
    services(request).text_to_sql.instructions.delete(
        caller(request), object_id(instruction_id, param="instruction_id")
    )
    return answer(Deleted())
