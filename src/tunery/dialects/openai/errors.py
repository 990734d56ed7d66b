"""Refusals in OpenAI's shape: `{"error": {"message", "type", "param", "code"}}`, always all four.

Wording, parameters and codes are those that the official service is known to send.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from tunery.core.errors import Conflict, InvalidFile, NotFound, TuneryError
from tunery.dialects.answers import answer
from tunery.dialects.route import Handler, dialect_route

_PROBLEMS_IN_MESSAGE = 20

# What the core calls by its own name travels in our one object on OpenAI's wire.
_UNDER_X_TUNERY = frozenset(
    {
        "engine", "learning_rate", "lora_alpha", "lora_dropout", "overlong", "r",
        "sample_prompts", "target_modules", "warmup_ratio", "weight_decay",
    }
)  # fmt: skip

_CLIENT_MUST_NOT_REPEAT = {"x-should-retry": "false"}


def render(error: TuneryError) -> Response:
    """`error` as OpenAI would have put it."""
    status, message, param, code = _parts(error)
    extra: dict[str, object] = {}
    if isinstance(error, InvalidFile):
        message = _with_problems(error)
        extra["x_tunery"] = {"problems": error.problems}
    # The `openai` client repeats every 409 twice, and this one will not get better.
    headers = _CLIENT_MUST_NOT_REPEAT if isinstance(error, Conflict) else None
    return _answer(status, message, param=param, code=code, headers=headers, extra=extra)


def answer_invalid(error: RequestValidationError) -> Response:
    """A body, path or query that does not fit the schema: 400 with the path of the first fault."""
    faults = error.errors()
    first = _path(faults[0]) if faults else None
    message = "; ".join(_fault(fault) for fault in faults)
    code = "missing_required_parameter" if _is_missing(faults) else None
    return _answer(400, message, param=first or None, code=code)


async def answer_http_exception(request: Request, error: Exception) -> Response:
    """What is refused before any route is found: an unknown path, a method that it does not have.

    For `app.add_exception_handler(HTTPException, ...)` of Starlette.
    """
    if not isinstance(error, HTTPException):
        raise error
    asked = f"{request.method} {request.url.path}"
    message, code = str(error.detail), None
    if error.status_code == 404:
        message = f"Unknown request URL: {asked}. Please check the URL for typos."
        code = "unknown_url"
    elif error.status_code == 405:
        message = f"Not allowed: {asked}. The URL is right, but it does not answer this method."
        code = "method_not_supported"
    return _answer(error.status_code, message, code=code, headers=error.headers)


def answer_unexpected(request: Request, error: Exception) -> Response:
    """What nobody foresaw, without its inside."""
    return _answer(
        500,
        f"The server failed on {request.method} {request.url.path} ({type(error).__name__}). "
        "Its log says more.",
    )


def bearer(request: Request) -> str | None:
    """The key in `Authorization: Bearer <key>`."""
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    return secret.strip() or None if scheme.lower() == "bearer" else None


def _parts(error: TuneryError) -> tuple[int, str, str | None, str | None]:
    """Status, message, param and code."""
    if isinstance(error, NotFound):
        return _not_found(error)
    param = f"x_tunery.{error.param}" if error.param in _UNDER_X_TUNERY else error.param
    return error.status, error.message, param, error.code


def _not_found(error: NotFound) -> tuple[int, str, str | None, str | None]:
    match error.kind:
        case "job":
            message = f"Could not find fine tune: {error.name}"
            return 404, message, "fine_tune_id", "fine_tune_not_found"
        case "file":
            return 404, f"No such File object: {error.name}", "id", None
        case "upload":
            return 404, f"No such Upload object: {error.name}", "upload_id", None
        case "model" | "checkpoint":
            return 404, error.message, "model", "model_not_found"
        case "key":
            return 404, error.message, "key_id", None
        case "URL":
            return 404, error.message, None, "unknown_url"
        case _:
            return 404, error.message, error.param, error.code


def _with_problems(error: InvalidFile) -> str:
    shown = error.problems[:_PROBLEMS_IN_MESSAGE]
    lines = [error.message, *(str(problem) for problem in shown)]
    if hidden := len(error.problems) - len(shown):
        lines.append(f"... and {hidden} more under error.x_tunery.problems.")
    return "\n".join(lines)


def _fault(fault: Mapping[str, Any]) -> str:
    """One of pydantic's findings in words."""
    path = _path(fault)
    match fault["type"]:
        case "json_invalid":
            return f"The body is not valid JSON: {fault['ctx']['error']}."
        case "model_attributes_type" | "dict_type" if not path:
            return "The body must be a JSON object, sent with content-type application/json."
        case "missing":
            return f"Missing required parameter: '{path}'." if path else "The body is missing."
        case _:
            message = str(fault["msg"]).removeprefix("Value error, ")
            return f"Invalid value for '{path}': {message}." if path else f"{message}."


def _path(fault: Mapping[str, Any]) -> str:
    """The place as a client would write it, such as `messages[2].role`."""
    path = ""
    if fault["type"] == "json_invalid":
        return path
    # The first part says where it travelled: body, query, path or header.
    for part in fault["loc"][1:]:
        if isinstance(part, int):
            path += f"[{part}]"
        elif part != "[key]":  # pydantic's word for a fault in a key rather than in its value
            path += f".{part}" if path else str(part)
    return path


def _is_missing(faults: Sequence[Mapping[str, Any]]) -> bool:
    return bool(faults) and faults[0]["type"] == "missing"


def _answer(
    status: int,
    message: str,
    *,
    param: str | None = None,
    code: str | None = None,
    headers: Mapping[str, str] | None = None,
    extra: Mapping[str, object] | None = None,
) -> Response:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    error = {
        "message": _writable(message),
        "type": kind,
        "param": None if param is None else _writable(param),
        "code": code,
        **(extra or {}),
    }
    return answer({"error": error}, status=status, headers=headers)


def _writable(text: str) -> str:
    """`text` where it repeats what a request held, of which not all need be characters."""
    return text.encode(errors="backslashreplace").decode()


OpenAIRoute = dialect_route(
    secret=bearer,
    answer_error=render,
    answer_invalid=answer_invalid,
    answer_unexpected=answer_unexpected,
)
"""The route class of every OpenAI router."""


class _Direct(APIRoute):
    """Calls its endpoint with the request and the parts of the path, and nothing in between."""

    def get_route_handler(self) -> Handler:  # type: ignore[override]
        """The endpoint itself."""

        async def handle(request: Request) -> Response:
            response: Response = await self.endpoint(request, **request.path_params)
            return response

        return handle


DirectOpenAIRoute: type[APIRoute] = type("DirectOpenAIRoute", (OpenAIRoute, _Direct), {})
"""The route class of a hot read, which has no body and no query that FastAPI should look for."""
