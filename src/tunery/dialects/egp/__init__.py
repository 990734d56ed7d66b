"""Scale's EGP API V4, as the `scale-gp` client calls it."""

from fastapi import APIRouter, Depends
from fastapi.routing import APIRoute

from tunery.dialects.egp.accounts import check_selected
from tunery.dialects.egp.completions.routes import router as completions
from tunery.dialects.egp.fine_tuning.routes import router as fine_tuning
from tunery.dialects.egp.models.routes import router as models
from tunery.dialects.egp.training_datasets.routes import router as training_datasets


def _flat(*parts: APIRouter) -> APIRouter:
    """Every route of `parts` in one level, in their order: FastAPI matches each level anew."""
    whole = APIRouter(prefix="/v4", dependencies=[Depends(check_selected)])
    for route in (route for part in parts for route in part.routes):
        if isinstance(route, APIRoute):
            whole.add_api_route(
                route.path,
                route.endpoint,
                methods=route.methods,
                tags=route.tags,
                route_class_override=type(route),
            )
    return whole


# What lies below a model comes before the model itself, whose name may hold `/`.
router = _flat(fine_tuning, training_datasets, completions, models)

__all__ = ["router"]
