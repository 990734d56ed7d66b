"""`/api/v1/prompts`, but for the SQL that is written for them."""

from fastapi import APIRouter, Request, Response

from tunery.dialects.answers import answer
from tunery.dialects.dataherald.errors import DataheraldRoute
from tunery.dialects.dataherald.fields import UpdateMetadata
from tunery.dialects.dataherald.prompts.mapping import to_core, to_wire
from tunery.dialects.dataherald.prompts.schemas import PromptRequest
from tunery.dialects.route import caller, services

router = APIRouter(route_class=DataheraldRoute, tags=["prompts"])


@router.post("", status_code=201)
def create(request: Request, body: PromptRequest) -> Response:
    """Keep a question of a database."""
    prompt = services(request).text_to_sql.prompts.create(caller(request), to_core(body))
    return answer(to_wire(prompt), status=201)


@router.get("")
def list_prompts(request: Request, db_connection_id: str | None = None) -> Response:
    """List the project's prompts, or those of a connection, oldest first."""
    connection_id = (db_connection_id or "").lower() or None
    prompts = services(request).text_to_sql.prompts.list(
        caller(request), connection_id=connection_id
    )
    return answer([to_wire(prompt) for prompt in prompts])


@router.get("/{prompt_id}")
def retrieve(request: Request, prompt_id: str) -> Response:
    """Retrieve a prompt."""
    return answer(to_wire(services(request).text_to_sql.prompts.get(caller(request), prompt_id)))


@router.put("/{prompt_id}")
def update(request: Request, prompt_id: str, body: UpdateMetadata) -> Response:
    """Replace the metadata of a prompt."""
    prompt = services(request).text_to_sql.prompts.set_metadata(
        caller(request), prompt_id, body.metadata
    )
    return answer(to_wire(prompt))
