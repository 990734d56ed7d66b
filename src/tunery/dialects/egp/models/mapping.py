"""Scale's words for models and deployments. Pure functions, nothing else."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar, cast

import msgspec
from msgspec import UNSET, UnsetType

from tunery.core.access import IdentityType
from tunery.core.models import Deployment
from tunery.dialects.egp.completions.schemas import ChatRequest, CompletionObject
from tunery.dialects.egp.errors import Misplaced
from tunery.dialects.egp.models import schemas
from tunery.service.models import ListedModel

DOOR = "egp"
_METADATA = "deployment_metadata"

Item = TypeVar("Item", schemas.ModelObject, schemas.DeploymentObject)

MODELS_BY = (
    "id", "name", "display_name", "created_at", "account_id", "created_by_user_id",
    "created_by_identity_type", "model_type", "base_model_id", "deployment_count",
    "supports_multi_turn",
)  # fmt: skip
DEPLOYMENTS_BY = (
    "id", "name", "created_at", "account_id", "created_by_user_id", "created_by_identity_type",
    "status", "model_instance_id",
)  # fmt: skip


def model_to_wire(
    model: ListedModel,
    deployments: Sequence[Deployment],
    *,
    account_id: str,
    shows_deployments: bool,
) -> schemas.ModelObject:
    """`model`, with its deployments counted or shown."""
    is_base = model.job_id is None
    maker_type = IdentityType.SERVICE_ACCOUNT if is_base else model.created_by_type
    return schemas.ModelObject(
        id=model.name,
        account_id=account_id,
        created_at=model.created_at,
        created_by_user_id=model.owned_by if is_base else model.created_by or "",
        created_by_identity_type=maker_type,
        name=model.name,
        display_name=model.name,
        request_schema=_request_schema(),
        response_schema=_response_schema(),
        deployment_count=len(deployments),
        base_model_id=UNSET if is_base else model.base_model,
        deployments=[deployment_to_wire(each) for each in deployments]
        if shows_deployments
        else UNSET,
    )


def deployment_to_wire(deployment: Deployment) -> schemas.DeploymentObject:
    """`deployment` as it is answered; it is always ready."""
    return schemas.DeploymentObject(
        id=deployment.id,
        account_id=deployment.project_id,
        created_at=deployment.created_at,
        created_by_user_id=deployment.created_by,
        created_by_identity_type=deployment.created_by_type,
        name=deployment.name,
        model_instance_id=deployment.model,
        deployment_metadata=_metadata(deployment.echo.get(DOOR)),
    )


def deployment_echo(body: schemas.CreateDeployment) -> Mapping[str, object]:
    """What is kept of a create call to be given back.

    Raises:
        Misplaced: it asks for workers, which deployments here do not have.
    """
    for name in ("model_creation_parameters", "vendor_configuration"):
        if getattr(body, name):
            raise Misplaced(
                f"{name} chooses machines and workers, which a deployment here has none of; "
                "leave it out",
                "body",
                name,
            )
    if body.deployment_metadata is None:
        return {}
    return {DOOR: {_METADATA: body.deployment_metadata}}


def views(view: str | None) -> frozenset[str]:
    """What to show with a model; several are separated by commas.

    Raises:
        Misplaced: there is no such view.
    """
    asked = frozenset(view.split(",")) if view else frozenset()
    if unknown := asked - {"Deployments", "ModelGroup"}:
        raise Misplaced(
            f"view is {min(unknown)[:80]!r}; there are Deployments and ModelGroup", "query", "view"
        )
    return asked


def in_order(items: Sequence[Item], sort_by: str | None, known: Sequence[str]) -> Sequence[Item]:
    """`items` by the fields of `sort_by`, such as `name:asc,id:desc`.

    Raises:
        Misplaced: it names a field that they cannot be sorted by.
    """
    ordered = list(items)
    # Sorting keeps the order of equals, so that the first field is sorted by last.
    for asked in reversed(sort_by.split(",") if sort_by else []):
        name, _, direction = asked.partition(":")
        if name not in known or direction not in ("asc", "desc"):
            raise Misplaced(
                f"sort_by is {asked[:80]!r}; it must be one of {', '.join(known)}, with :asc or "
                ":desc behind it",
                "query",
                "sort_by",
            )
        ordered.sort(key=_field(name), reverse=direction == "desc")
    return ordered


def _field(name: str) -> Callable[[Item], tuple[bool, Any]]:
    def key(item: Item) -> tuple[bool, Any]:
        value = getattr(item, name)
        return (False, "") if value is UNSET else (True, value)

    return key


def _metadata(kept: object) -> Mapping[str, object] | UnsetType:
    if not isinstance(kept, Mapping) or _METADATA not in kept:
        return UNSET
    return cast(Mapping[str, object], kept[_METADATA])


@cache
def _request_schema() -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(ChatRequest.model_json_schema()))


@cache
def _response_schema() -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(msgspec.json.schema(CompletionObject)))
