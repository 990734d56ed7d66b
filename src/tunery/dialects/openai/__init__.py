"""OpenAI's fine-tuning API, with and without `/v1`."""

from fastapi import APIRouter

from tunery.dialects.openai.files.routes import router as files
from tunery.dialects.openai.files.routes import router as files
from tunery.dialects.openai.fine_tuning.routes import router as fine_tuning
from tunery.dialects.openai.models.routes import router as models
from tunery.dialects.openai.sampling.routes import router as sampling

router = APIRouter()

# Some gateways serve the same paths with no `/v1`; the documentation shows each once.
for _prefix, _shown in (("/v1", True), ("", False)):
    for _part in (files, fine_tuning, sampling, models):
        router.include_router(_part, prefix=_prefix, include_in_schema=_shown)

__all__ = ["router"]
