"""Refusals as FastAPI itself writes them: `{"detail": …}`, a text or a list of faults.

Three of the vendors run FastAPI, and their clients read its answers.
"""

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from tunery.dialects.answers import answer


def answer_detail(status: int, detail: object) -> Response:
    """`detail` under its only key."""
    return answer({"detail": detail}, status=status)


def answer_invalid(error: RequestValidationError) -> Response:
    """A body, path or query that does not fit the schema: 422 with every fault.

    What was sent is not repeated: some of it may be secret.
    """
    faults = [
        fault(*each["loc"], message=each["msg"], type=each["type"]) for each in error.errors()
    ]
    return answer_detail(422, faults)


def fault(*loc: str | int, message: str, type: str = "value_error") -> dict[str, object]:
    """One fault as FastAPI lists it: where it travelled and its path, what, and of which kind."""
    return {"loc": loc, "msg": message, "type": type}


def answer_unexpected(request: Request, error: Exception) -> Response:
    """What nobody foresaw, without its inside."""
    return answer_detail(
        500,
        f"The server failed on {request.method} {request.url.path} ({type(error).__name__}). "
        "Its log says more.",
    )


async def answer_http_exception(request: Request, error: HTTPException) -> Response:
    """What is refused before any route is found."""
    return answer({"detail": error.detail}, status=error.status_code, headers=error.headers)
