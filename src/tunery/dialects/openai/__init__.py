"""OpenAI's fine-tuning API, with and without `/v1`."""

from fastapi import APIRouter
from fastapi.routing import APIRoute

from tunery.dialects.openai.files.routes import router as files
from tunery.dialects.openai.fine_tuning.routes import router as fine_tuning
from tunery.dialects.openai.models.routes import router as models
from tunery.dialects.openai.sampling.routes import router as sampling


def _flat(*parts: APIRouter) -> APIRouter:
    """Every route of `parts` under both prefixes, in one level: FastAPI matches each level anew."""
    whole = APIRouter()
    for route in (route for part in parts for route in part.routes):
        # Some gateways serve the same paths with no `/v1`; the documentation shows each once. Both
        # stand side by side: routes are tried in their order, and the hot read comes first.
        for prefix, shown in (("/v1", True), ("", False)):
            if isinstance(route, APIRoute):
                whole.add_api_route(
                    prefix + route.path,
                    route.endpoint,
                    methods=route.methods,
                    tags=route.tags,
                    include_in_schema=shown,
                    route_class_override=type(route),
                )
    return whole


router = _flat(fine_tuning, sampling, models, files)

__all__ = ["router"]
