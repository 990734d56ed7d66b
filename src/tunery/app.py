"""The server: what was wired, over HTTP, until a signal ends it."""

import logging
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from tunery import __version__
from tunery.connections import BoundedHttp
from tunery.core.errors import TuneryError
from tunery.dialects import (
    DIALECTS,
    LARGE_BODIES,
    NOTICES,
    answer_http_exception,
    health,
    refusal,
)
from tunery.first_start import first_key
from tunery.listening import listen, url
from tunery.logs import configure_logs
from tunery.middleware import BodyLimit, NoNul, RequestIds
from tunery.settings import Settings
from tunery.wiring import Wired, build
from tunery.wiring.ground import SystemClock

logger = logging.getLogger(__name__)

GARBAGE_EVERY_S = 600.0


def create_app(wired: Wired) -> FastAPI:
    """The HTTP application over `wired`, which it starts and stops with itself."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        ended = threading.Event()
        await run_in_threadpool(wired.start)
        housekeeping = threading.Thread(target=_housekeeping, args=(wired, ended), daemon=True)
        housekeeping.start()
        yield
        ended.set()
        await run_in_threadpool(housekeeping.join, 5.0)
        await run_in_threadpool(wired.stop)

    app = FastAPI(
        title="Tunery",
        version=__version__,
        description="A self-hosted fine-tuning server.",
        lifespan=lifespan,
        redirect_slashes=False,
    )
    app.state.services = wired.services
    for router in DIALECTS:
        app.include_router(router)
    app.include_router(health.router)
    app.add_exception_handler(HTTPException, answer_http_exception)
    app.add_middleware(
        BodyLimit,
        max_bytes=wired.settings.max_body_bytes,
        refusal=refusal,
        of_paths=dict.fromkeys(LARGE_BODIES, _with_images(wired.settings)),
    )
    app.add_middleware(NoNul, refusal=refusal)
    app.add_middleware(RequestIds)
    return app


@dataclass(frozen=True, kw_only=True)
class Started:
    """What the person who started a server wants to know."""

    url: str
    new_key: str | None
    """The first key, where this start made it; it is shown once."""


def serve(settings: Settings, *, announce: Callable[[Started], None]) -> None:
    """Serve until a signal ends the process.

    Raises:
        PortTaken: another process listens there; nothing was opened or made.
        FirstStartRefused: see `first_key`.
        TuneryError: the store cannot be opened.
    """
    configure_logs(settings.log_level)
    # For the children: threads of OpenMP that wait by spinning take the cores from whoever else
    # has work. With two busy neighbours on two cores a training step took a third longer.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with listen(settings.host, settings.port) as listening:
        wired = build(settings, NOTICES)
        new_key = first_key(settings, wired.store, SystemClock())
        port = listening.getsockname()[1]
        announce(Started(url=url(settings.host, port), new_key=new_key))
        config = uvicorn.Config(
            create_app(wired),
            loop="uvloop",
            http=BoundedHttp,
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=5,
        )
        uvicorn.Server(config).run(sockets=[listening])


def _with_images(settings: Settings) -> int:
    """The most bytes of a body with images in it, which are base64 there."""
    return settings.max_body_bytes + settings.max_images_bytes * 4 // 3


def _housekeeping(wired: Wired, ended: threading.Event) -> None:
    while not ended.is_set():
        for collect in (
            wired.services.files.collect_garbage,
            wired.run_folders.collect,
            wired.services.image_generations.collect_garbage,
            wired.store.forget_old_answers,
        ):
            try:
                collect()
            except (TuneryError, OSError):
                logger.exception("cannot collect garbage; trying again later")
        ended.wait(GARBAGE_EVERY_S)
