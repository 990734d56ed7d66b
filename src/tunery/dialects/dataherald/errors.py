"""Refusals as Dataherald's engine writes them.

What a service refuses is 400 with `{"error_code", "message", "description", "detail"}`, where
`detail` is the request without its metadata; what concerns a path's id is FastAPI's
`{"detail": text}`; what does not fit a schema is 422 with a list of faults.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import cast

from fastapi import Request, Response
from pydantic import BaseModel

from tunery.core.errors import NotFound, TuneryError
from tunery.dialects.answers import answer
from tunery.dialects.detail import answer_detail, answer_invalid, answer_unexpected
from tunery.dialects.route import dialect_route

_SHARED = frozenset(
    {
        "empty_database",
        "golden_sql_not_found",
        "invalid_database_uri_format",
        "invalid_golden_sql",
        "invalid_object_id",
        "llm_model_not_supported",
        "schema_not_supported",
    }
)
"""Codes of the core that are Dataherald's too."""

_CODES = {
    "not_read_only": "sql_injection",
    "ssh_unsupported": "ssh_invalid_database_connection",
}
"""Codes of the core that are called something else; the rest go by what was being done."""

_UNKNOWN = {
    "database connection": "database_connection_not_found",
    "golden record": "golden_sql_not_found",
    "prompt": "prompt_not_found",
    "SQL generation": "sql_generation_not_found",
}
"""What is unknown, by its kind."""

_NAMES = {
    "database connection": "Database connection",
    "golden record": "Golden record",
    "instruction": "Instruction",
    "job": "Model",
    "prompt": "Prompt",
    "SQL generation": "SQL Generation",
    "table description": "Table description",
}
"""Kinds of things in Dataherald's words."""


class Refused(TuneryError):
    """What a service refused, with the request that it was asked in."""

    def __init__(self, why: TuneryError, *, code: str, detail: object) -> None:
        """`code` is in Dataherald's words."""
        super().__init__(_message(why), code=code)
        self.detail = detail
        # Not 400 where it is not the request's fault, so that the client may try again.
        self.http_status = why.status if why.status >= 500 else 400


@contextmanager
def service_errors(asked: object = None, *, otherwise: str) -> Iterator[None]:
    """What is raised inside is answered as a service error about the request `asked`.

    Its code is `otherwise` where Dataherald has no narrower word for it.
    """
    try:
        yield
    except TuneryError as error:
        raise Refused(error, code=_code(error, otherwise), detail=_shown(asked)) from error


def render(error: TuneryError) -> Response:
    """`error` as the engine would have put it."""
    if isinstance(error, Refused):
        return _service_error(error)
    if error.code == "invalid_object_id":
        return _service_error(Refused(error, code=error.code, detail={}))
    return answer_detail(error.status, _writable(_message(error)))


def secret(request: Request) -> str | None:
    """The key in `x-api-key`, or in `Authorization: Bearer <key>`."""
    if key := request.headers.get("x-api-key", "").strip():
        return key
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _service_error(error: Refused) -> Response:
    body = {
        "error_code": error.code,
        "message": _writable(error.message),
        "description": None,
        "detail": error.detail,
    }
    return answer(body, status=error.http_status)


def _code(error: TuneryError, otherwise: str) -> str:
    if isinstance(error, NotFound):
        return _UNKNOWN.get(error.kind, otherwise)
    if error.code in _SHARED:
        return error.code
    return _CODES.get(error.code or "", otherwise)


def _message(error: TuneryError) -> str:
    if isinstance(error, NotFound) and error.kind in _NAMES:
        # A job's id in the digits that this door writes.
        return f"{_NAMES[error.kind]} not found, {error.name.removeprefix('ftjob-')}"
    return error.message


def _shown(asked: object) -> object:
    """A request as an error repeats it: secrets are null, and metadata is left out."""
    match asked:
        case BaseModel():
            return _shown(asked.model_dump(mode="json", warnings="none"))
        case Mapping():
            return {
                name: _shown(value)
                for name, value in cast(Mapping[str, object], asked).items()
                if name != "metadata"
            }
        case list() | tuple():
            return [_shown(value) for value in cast(Sequence[object], asked)]
        case _:
            return asked


def _writable(text: str) -> str:
    """`text` where it repeats what a request held, of which not all need be characters."""
    return text.encode(errors="backslashreplace").decode()


DataheraldRoute = dialect_route(
    secret=secret,
    answer_error=render,
    answer_invalid=answer_invalid,
    answer_unexpected=answer_unexpected,
)
"""The route class of every Dataherald router."""
