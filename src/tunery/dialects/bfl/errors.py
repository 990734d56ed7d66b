"""Refusals as BFL's API writes them: FastAPI's `{"detail": …}`, a list of faults or a text.

What is wrong with a value is 422 with the field that has it; the rest is a text.
"""

from collections.abc import Mapping

from fastapi import Request, Response

from tunery.core.errors import (
    InvalidValue,
    NotFound,
    TooMany,
    TuneryError,
    Unauthenticated,
    Unsupported,
)
from tunery.dialects.answers import answer
from tunery.dialects.detail import answer_detail, answer_invalid, answer_unexpected, fault
from tunery.dialects.route import dialect_route

_NOT_AUTHENTICATED = "Not authenticated - Invalid Authentication"
_UNKNOWN_FINETUNE = "Finetune not found or not ready"
_FINETUNES = frozenset({"finetune", "job"})
_OURS = frozenset({"engine", "model", "training_file"})
"""Parameters of the core that no request of this door has a field for."""
_IDEMPOTENCY = "Idempotency-Key"
_FIELDS: Mapping[str, str] = {"source": "image"}
"""Parameters of the core that requests call something else."""
_TRY_AGAIN: Mapping[str, str] = {"retry-after": "5"}
"""In seconds: drawing an image takes some."""


def render(error: TuneryError) -> Response:
    """`error` as BFL's API would have put it."""
    match error:
        case Unauthenticated():
            return answer_detail(403, _NOT_AUTHENTICATED)
        case NotFound() if error.kind in _FINETUNES:
            return answer_detail(404, _UNKNOWN_FINETUNE)
        case InvalidValue() | Unsupported():
            return answer_detail(422, [_fault(error)])
        case TooMany():
            body = {"detail": error.message}
            return answer(body, status=error.status, headers=_TRY_AGAIN)
        case _:
            return answer_detail(error.status, _writable(error.message))


def secret(request: Request) -> str | None:
    """The key in `x-key`."""
    return request.headers.get("x-key", "").strip() or None


def _fault(error: TuneryError) -> dict[str, object]:
    """What is wrong with which field, by the name that it has in the request."""
    param, message = error.param or "", error.message
    field = _FIELDS.get(param, param)
    if message.startswith(f"{param} "):
        message = field + message.removeprefix(param)
    return fault(*_place(field), message=_writable(message), type=error.code or "value_error")


def _place(field: str) -> tuple[str, ...]:
    if field == _IDEMPOTENCY:
        return ("header", field)
    return ("body", field) if field and field not in _OURS else ("body",)


def _writable(text: str) -> str:
    """`text` where it repeats what a request held, of which not all need be characters."""
    return text.encode(errors="backslashreplace").decode()


BflRoute = dialect_route(
    secret=secret,
    answer_error=render,
    answer_invalid=answer_invalid,
    answer_unexpected=answer_unexpected,
)
"""The route class of every call that needs a key."""

LinkRoute = dialect_route(
    secret=None,
    answer_error=render,
    answer_invalid=answer_invalid,
    answer_unexpected=answer_unexpected,
)
"""The route class of what a signed link opens: whoever has the link may."""
