"""Refusals as Scale's API writes them: FastAPI's `{"detail": …}`, a list of faults or a text.

What is wrong with a value is 422 with the place where the request has it; the rest is a text.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from fastapi import Request, Response

from tunery.core.errors import (
    Conflict,
    InvalidFile,
    InvalidValue,
    NotFound,
    TuneryError,
    Unsupported,
)
from tunery.core.problems import Problem
from tunery.dialects.answers import answer
from tunery.dialects.detail import answer_detail, answer_invalid, answer_unexpected, fault
from tunery.dialects.route import dialect_route

Place = tuple[str | int, ...]
"""Where in a request something stands, such as `("body", "training_dataset_id")`."""

_WHOLE_BODY: Place = ("body",)
_NAMES = {"job": "fine-tuning job", "file": "training dataset"}
"""Kinds of things in Scale's words."""

_CLIENT_MUST_NOT_REPEAT = {"x-should-retry": "false"}


class Misplaced(InvalidValue):
    """A value that cannot be, with the place where the request has it."""

    def __init__(self, message: str, *place: str | int, code: str | None = None) -> None:
        """`place` begins with what it travelled in: body, query, header or path."""
        super().__init__(message, code=code)
        self.place = place


@contextmanager
def placed(places: Mapping[str, Place], otherwise: Place = _WHOLE_BODY) -> Iterator[None]:
    """What is refused inside names the place of its parameter; `otherwise` has no own one."""
    try:
        yield
    except Misplaced:
        raise
    except (InvalidValue, Unsupported) as error:
        if isinstance(error, InvalidFile) and error.problems:
            raise  # each of these knows its own place
        place = places.get(error.param or "", otherwise)
        raise Misplaced(_renamed(error, place), *place, code=error.code) from error


def render(error: TuneryError) -> Response:
    """`error` as Scale's API would have put it."""
    match error:
        case InvalidFile(problems=[_, *_]):
            return answer_detail(422, [_problem(problem) for problem in error.problems])
        case Misplaced():
            return _one_fault(error, error.place)
        case InvalidValue() | Unsupported():
            place = _WHOLE_BODY if error.param is None else (*_WHOLE_BODY, error.param)
            return _one_fault(error, place)
        case NotFound() if error.kind in _NAMES:
            return answer_detail(
                404, _writable(f"There is no {_NAMES[error.kind]} {error.name!r}.")
            )
        case Conflict():
            # The client repeats every 409 twice, and this one will not get better.
            body = {"detail": error.message}
            return answer(body, status=error.status, headers=_CLIENT_MUST_NOT_REPEAT)
        case _:
            return answer_detail(error.status, _writable(error.message))


def secret(request: Request) -> str | None:
    """The key in `x-api-key`."""
    return request.headers.get("x-api-key", "").strip() or None


def _renamed(error: TuneryError, place: Place) -> str:
    """The message, the parameter at its beginning called as the request calls it."""
    name = f"{error.param} "
    if not error.message.startswith(name):
        return error.message
    return f"{place[-1]} {error.message.removeprefix(name)}"


def _one_fault(error: TuneryError, place: Place) -> Response:
    loc = [_writable(part) if isinstance(part, str) else part for part in place]
    kind = error.code or "value_error"
    return answer_detail(422, [fault(*loc, message=_writable(error.message), type=kind)])


def _problem(problem: Problem) -> dict[str, object]:
    """A problem of an uploaded file; its line is part of its place."""
    place: Place = ("body", "file") if problem.line is None else ("body", "file", problem.line)
    return fault(*place, message=_writable(str(problem)), type="invalid_file")


def _writable(text: str) -> str:
    """`text` where it repeats what a request held, of which not all need be characters."""
    return text.encode(errors="backslashreplace").decode()


EgpRoute = dialect_route(
    secret=secret,
    answer_error=render,
    answer_invalid=answer_invalid,
    answer_unexpected=answer_unexpected,
)
"""The route class of every router of Scale's API."""
