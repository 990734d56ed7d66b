"""A route class that names the caller and answers failures in the words of its dialect."""

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from tunery.core.access import Caller
from tunery.core.errors import TuneryError, Unauthenticated
from tunery.service.services import Services

logger = logging.getLogger(__name__)

Value = TypeVar("Value")
Handler = Callable[[Request], Awaitable[Response]]


def dialect_route(
    *,
    secret: Callable[[Request], str | None] | None,
    answer_error: Callable[[TuneryError], Response],
    answer_invalid: Callable[[RequestValidationError], Response],
    answer_unexpected: Callable[[Request, Exception], Response],
) -> type[APIRoute]:
    """The route class of one dialect.

    `secret` finds the key where that dialect's clients send it; without it anybody may call, and
    has no name. The others make answers of what services refuse, of what FastAPI's own validation
    refuses, and of what nobody foresaw.
    """

    class DialectRoute(APIRoute):
        """Knows its caller before the route runs."""

        def get_route_handler(self) -> Handler:  # type: ignore[override]
            handle = super().get_route_handler()

            async def answered(request: Request) -> Response:
                try:
                    if secret is not None:
                        request.state.caller = await _caller(request, secret(request))
                    return await handle(request)
                except TuneryError as error:
                    return answer_error(error)
                except RequestValidationError as error:
                    return answer_invalid(error)
                except HTTPException:
                    raise
                except Exception as error:
                    # Here, and not outside of all middleware, so that the answer has its id.
                    logger.exception("%s %s failed", request.method, request.url.path)
                    return answer_unexpected(request, error)

            return answered

    return DialectRoute


def services(request: Request) -> Services:
    """The use cases that the application was built with."""
    wired: Services = request.app.state.services
    return wired


def caller(request: Request) -> Caller:
    """Whom the request's key speaks for."""
    known: Caller = request.state.caller
    return known


async def point_read(request: Request, read: Callable[[], Value]) -> Value:
    """The result of a read by key: in place where that is cheaper than a thread, else in one."""
    if services(request).reads_in_place:
        return read()
    return await run_in_threadpool(read)


async def _caller(request: Request, secret: str | None) -> Caller:
    if secret is None:
        raise Unauthenticated("No API key was sent.")
    return await point_read(request, lambda: services(request).keys.caller(secret))
