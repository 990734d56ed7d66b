"""OpenAI's model object."""

from typing import Literal

import msgspec


class ModelXTunery(msgspec.Struct, frozen=True, kw_only=True):
    """What OpenAI's model has no words for."""

    base_model: str
    job_id: str | None


class ModelObject(msgspec.Struct, frozen=True, kw_only=True):
    """A model that can be called."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str
    x_tunery: ModelXTunery


class ModelList(msgspec.Struct, frozen=True, kw_only=True):
    """Every model; this list has no pages."""

    object: Literal["list"] = "list"
    data: list[ModelObject]
