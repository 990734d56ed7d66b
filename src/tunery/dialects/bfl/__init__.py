"""The finetune API of Black Forest Labs: from a ZIP of pictures to a model that draws them."""

from fastapi import APIRouter
from fastapi.routing import iter_route_contexts
from starlette.routing import compile_path

from tunery.dialects.bfl.credits import router as credits
from tunery.dialects.bfl.finetunes.routes import router as finetunes
from tunery.dialects.bfl.images.routes import router as images
from tunery.dialects.bfl.results.routes import router as results
from tunery.dialects.bfl.webhooks import notice_words

router = APIRouter(prefix="/v1")
router.include_router(finetunes)
router.include_router(results)
router.include_router(images)
router.include_router(credits)

LARGE_BODIES = frozenset({"/v1/finetune", "/v1/flux-pro-1.0-fill-finetuned"})
"""The paths whose bodies hold archives and pictures."""

_PATHS = tuple(compile_path(str(route.path))[0] for route in iter_route_contexts(router.routes))


def has(path: str) -> bool:
    """Whether `path` is one of this door's, which shares its prefix with OpenAI's."""
    return any(pattern.match(path) for pattern in _PATHS)


__all__ = ["LARGE_BODIES", "has", "notice_words", "router"]
