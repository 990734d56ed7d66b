"""One folder per wire format: a dialect translates, and nothing else."""

from fastapi import Request, Response
from starlette.exceptions import HTTPException

from tunery.core.errors import TuneryError
from tunery.dialects import dataherald, detail, egp, openai, tunery
from tunery.dialects.openai.errors import answer_http_exception as answer_as_openai
from tunery.dialects.openai.errors import render as render_as_openai

DIALECTS = (openai.router, egp.router, dataherald.router, tunery.router)
"""The routers that the server includes."""

_FASTAPI_SHAPED = ("/v4/", "/api/v1/")
"""Under these paths even an unknown one is answered in FastAPI's own shape."""


async def answer_http_exception(request: Request, error: Exception) -> Response:
    """What is refused before any route is found, in the words of the door that was knocked at.

    For `app.add_exception_handler(HTTPException, ...)` of Starlette.
    """
    if isinstance(error, HTTPException) and request.url.path.startswith(_FASTAPI_SHAPED):
        return await detail.answer_http_exception(request, error)
    return await answer_as_openai(request, error)


def refusal(path: str, error: TuneryError) -> Response:
    """What middleware refuses, in the words of the door to which `path` belongs."""
    if path.startswith(_FASTAPI_SHAPED):
        return detail.answer_detail(error.status, error.message)
    return render_as_openai(error)
