"""OpenAI's words for a model."""

from tunery.dialects.openai.models.schemas import ModelObject, ModelXTunery
from tunery.service.models import ListedModel


def to_wire(model: ListedModel) -> ModelObject:
    """`model` as `GET /models/{model}` answers it."""
    return ModelObject(
        id=model.name,
        created=int(model.created_at.timestamp()),
        owned_by=model.owned_by,
        x_tunery=ModelXTunery(base_model=model.base_model, job_id=model.job_id),
    )
