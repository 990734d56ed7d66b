"""The routes of models. Names hold `/` and `:`, escaped in the path or not."""

from fastapi import APIRouter, Request, Response

from tunery.dialects.answers import answer
from tunery.dialects.openai.answers import Deleted
from tunery.dialects.openai.errors import OpenAIRoute
from tunery.dialects.openai.models.mapping import to_wire
from tunery.dialects.openai.models.schemas import ModelList
from tunery.dialects.route import caller, services

router = APIRouter(prefix="/models", tags=["Models"], route_class=OpenAIRoute)


@router.get("")
def list_models(request: Request) -> Response:
    """List the base models and the project's tuned models."""
    found = services(request).models.list(caller(request))
    return answer(ModelList(data=[to_wire(model) for model in found]))


@router.get("/{model:path}")
def retrieve(request: Request, model: str) -> Response:
    """Retrieve a model by its name, an alias or a checkpoint's name."""
    return answer(to_wire(services(request).models.get(caller(request), model)))


@router.delete("/{model:path}")
def delete(request: Request, model: str) -> Response:
    """Delete a tuned model and its checkpoints."""
    services(request).models.delete(caller(request), model)
    return answer(Deleted(id=model, object="model"))
