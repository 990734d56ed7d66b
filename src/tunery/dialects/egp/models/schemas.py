"""Scale's models and deployments, as they are asked for and answered."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType
from pydantic import BaseModel, Field

from tunery.dialects.egp.answers import Entity
from tunery.dialects.egp.free import FreeMap
from tunery.dialects.fields import STORABLE
from tunery.service.deployments import LONGEST_NAME

ModelType = Literal[
    "COMPLETION", "CHAT_COMPLETION", "AGENT", "EMBEDDING", "RERANKING", "GENERIC", "BUNDLE"
]


class CreateDeployment(BaseModel):
    """The body of a create call; a deployment here is READY at once."""

    name: Annotated[str, Field(min_length=1, max_length=LONGEST_NAME), STORABLE]
    account_id: str | None = None
    deployment_metadata: FreeMap | None = None
    model_creation_parameters: FreeMap | None = None
    vendor_configuration: FreeMap | None = None
    wait_for_ready: bool | None = None


class DeploymentObject(Entity, frozen=True, kw_only=True):
    """A name under which a model answers."""

    name: str
    status: Literal["READY"] = "READY"
    model_instance_id: str
    deployment_metadata: Mapping[str, object] | UnsetType = UNSET


class ModelObject(Entity, frozen=True, kw_only=True):
    """A model that can be called."""

    name: str
    display_name: str
    model_type: ModelType = "CHAT_COMPLETION"
    request_schema: msgspec.Raw
    response_schema: msgspec.Raw
    supports_multi_turn: bool = True
    deployment_count: int
    base_model_id: str | UnsetType = UNSET
    deployments: Sequence[DeploymentObject] | UnsetType = UNSET
