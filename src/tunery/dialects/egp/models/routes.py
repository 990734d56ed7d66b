"""The routes of models and deployments. Names hold `/` and `:`, escaped in the path or not."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from tunery.core.models import Deployment
from tunery.dialects.answers import answer
from tunery.dialects.egp.accounts import check_account
from tunery.dialects.egp.errors import EgpRoute, placed
from tunery.dialects.egp.models import mapping
from tunery.dialects.egp.models.schemas import CreateDeployment, ModelType
from tunery.dialects.egp.pages import PageWanted, cut, item_page
from tunery.dialects.route import caller, services

router = APIRouter(tags=["Scale: models"], route_class=EgpRoute)

_PLACES = {"name": ("body", "name")}
_IN_PATH = ("path", "model_id")

SortBy = Annotated[str | None, Query(max_length=1024)]


@router.get("/model-deployments")
def list_all_deployments(request: Request, page: PageWanted, sort_by: SortBy = None) -> Response:
    """List the deployments of every model."""
    found = services(request).deployments.list(caller(request))
    return answer(_page(found, page, sort_by))


@router.post("/models/{model_id:path}/deployments")
def create_deployment(request: Request, model_id: str, body: CreateDeployment) -> Response:
    """Deploy a model under another id; it is ready at once."""
    check_account(request, body.account_id)
    with placed(_PLACES, otherwise=_IN_PATH):
        deployment = services(request).deployments.create(
            caller(request), model_id, name=body.name, echo=mapping.deployment_echo(body)
        )
    return answer(mapping.deployment_to_wire(deployment))


@router.get("/models/{model_id:path}/deployments")
def list_deployments(
    request: Request, model_id: str, page: PageWanted, sort_by: SortBy = None
) -> Response:
    """List a model's deployments."""
    found = services(request).deployments.list(caller(request), model=model_id)
    return answer(_page(found, page, sort_by))


@router.get("/models/{model_id:path}/deployments/{deployment_id}")
def retrieve_deployment(request: Request, model_id: str, deployment_id: str) -> Response:
    """Retrieve a deployment of a model."""
    found = services(request).deployments.get(caller(request), deployment_id, model=model_id)
    return answer(mapping.deployment_to_wire(found))


@router.get("/models")
def list_models(
    request: Request,
    page: PageWanted,
    model_type: ModelType | None = None,
    model_group_id: str | None = None,
    sort_by: SortBy = None,
    view: Annotated[str | None, Query(max_length=1024)] = None,
) -> Response:
    """List the base models and the project's tuned models."""
    asking, shown = caller(request), mapping.views(view)
    deployed: dict[str, list[Deployment]] = defaultdict(list)
    for deployment in services(request).deployments.list(asking):
        deployed[deployment.model].append(deployment)
    models = [
        mapping.model_to_wire(
            model,
            deployed[model.name],
            account_id=asking.project_id,
            shows_deployments="Deployments" in shown,
        )
        for model in services(request).models.list(asking)
    ]
    # There are no groups, so that no model is in one.
    fitting = [
        model
        for model in models
        if model_type in (None, model.model_type) and model_group_id is None
    ]
    part = cut(mapping.in_order(fitting, sort_by, mapping.MODELS_BY), page)
    return answer(item_page(part.items, part.total, page))


@router.get("/models/{model_id:path}")
def retrieve_model(
    request: Request,
    model_id: str,
    view: Annotated[str | None, Query(max_length=1024)] = None,
) -> Response:
    """Retrieve a model by its name, an alias or a checkpoint's name."""
    asking, shown = caller(request), mapping.views(view)
    model = services(request).models.get(asking, model_id)
    return answer(
        mapping.model_to_wire(
            model,
            services(request).deployments.list(asking, model=model_id),
            account_id=asking.project_id,
            shows_deployments="Deployments" in shown,
        )
    )


def _page(found: Sequence[Deployment], page: PageWanted, sort_by: str | None) -> object:
    items = [mapping.deployment_to_wire(deployment) for deployment in found]
    part = cut(mapping.in_order(items, sort_by, mapping.DEPLOYMENTS_BY), page)
    return item_page(part.items, part.total, page)
