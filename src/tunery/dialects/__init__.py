"""One folder per wire format: a dialect translates, and nothing else."""

from collections.abc import Callable, Mapping

from fastapi import Request, Response
from starlette.exceptions import HTTPException

from tunery.core.errors import TuneryError
from tunery.core.ports import NoticeWords
from tunery.dialects import bfl, dataherald, detail, egp, openai, tunery
from tunery.dialects.openai.errors import answer_http_exception as answer_as_openai
from tunery.dialects.openai.errors import render as render_as_openai
from tunery.service import finetunes
from tunery.service.links import Links

DIALECTS = (openai.router, egp.router, dataherald.router, bfl.router, tunery.router)
"""The routers that the server includes."""

LARGE_BODIES = bfl.LARGE_BODIES
"""The paths whose JSON bodies hold archives and pictures."""

NOTICES: Mapping[str, Callable[[Links], NoticeWords]] = {finetunes.DOOR: bfl.notice_words}
"""For each door with webhooks: what makes their bodies, given what makes the links in them."""

_FASTAPI_SHAPED = ("/v4/", "/api/v1/")
"""Under these paths even an unknown one is answered in FastAPI's own shape."""


async def answer_http_exception(request: Request, error: Exception) -> Response:
    """What is refused before any route is found, in the words of the door that was knocked at.

    For `app.add_exception_handler(HTTPException, ...)` of Starlette.
    """
    if isinstance(error, HTTPException) and _is_fastapi_shaped(request.url.path):
        return await detail.answer_http_exception(request, error)
    return await answer_as_openai(request, error)


def refusal(path: str, error: TuneryError) -> Response:
    """What middleware refuses, in the words of the door to which `path` belongs."""
    if _is_fastapi_shaped(path):
        return detail.answer_detail(error.status, error.message)
    return render_as_openai(error)


def _is_fastapi_shaped(path: str) -> bool:
    return path.startswith(_FASTAPI_SHAPED) or bfl.has(path)
