"""The composition root: settings in, wired application out."""

import logging
import os
import pkgutil
import socket
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import uvicorn
from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from tunery import __version__
from tunery.addresses import Addresses
from tunery.bases.catalog import FolderCatalog, hugging_face_cache
from tunery.blobs.folder import FolderBlobs
from tunery.connections import BoundedHttp
from tunery.core.errors import TuneryError
from tunery.core.ports import (
    Blobs,
    Catalog,
    Clock,
    Databases,
    Engine,
    Generator,
    Sealer,
    Store,
)
from tunery.databases.customers import CustomerDatabases
from tunery.dialects import DIALECTS, answer_http_exception, health, refusal
from tunery.engines import ENGINES
from tunery.first_start import first_key
from tunery.inference.process import ChildGenerator
from tunery.listening import listen, url
from tunery.logs import configure_logs
from tunery.middleware import BodyLimit, NoNul, RequestIds
from tunery.sealing import AesSealer
from tunery.service.deployments import Deployments
from tunery.service.files import Files
from tunery.service.garbage import RunFolders
from tunery.service.generate import Generation
from tunery.service.health import Health
from tunery.service.jobs import Jobs
from tunery.service.keys import Keys
from tunery.service.models import Models
from tunery.service.routing import Routing
from tunery.service.services import Services, TextToSql
from tunery.service.text_to_sql.attempts import Attempts
from tunery.service.text_to_sql.connected import ConnectedDatabases
from tunery.service.text_to_sql.connections import Connections
from tunery.service.text_to_sql.exam import SqlExaminer
from tunery.service.text_to_sql.finetunings import Finetunings
from tunery.service.text_to_sql.golden_records import GoldenRecords
from tunery.service.text_to_sql.instructions import Instructions
from tunery.service.text_to_sql.prompts import Prompts
from tunery.service.text_to_sql.questions import Questions
from tunery.service.text_to_sql.sql_generations import SqlGenerations
from tunery.service.text_to_sql.tables import Tables
from tunery.service.text_to_sql.training_set import GoldenTrainingSets
from tunery.service.text_to_sql.writer import SqlWriter
from tunery.settings import Settings
from tunery.store.sqlite import open_store as open_sqlite
from tunery.worker.loop import Worker

logger = logging.getLogger(__name__)

GARBAGE_EVERY_S = 600.0


class SystemClock:
    """The machine's time."""

    def now(self) -> datetime:
        """The present moment, aware, in UTC."""
        return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Wired:
    """Everything that was built, once."""

    settings: Settings
    store: Store
    run_folders: RunFolders
    services: Services
    engines: Mapping[str, Engine]
    generator: Generator
    worker: Worker

    def start(self) -> None:
        """Begin to work."""
        for engine in self.engines.values():
            engine.start()
        self.worker.start()

    def stop(self) -> None:
        """Let running jobs save a checkpoint, end every child, and close the store."""
        self.worker.stop()
        for engine in self.engines.values():
            engine.close()
        self.generator.close()
        self.store.close()


def build(settings: Settings) -> Wired:
    """The application as `settings` say; the database is brought up to date, nothing runs yet."""
    routing = _routing(settings)
    sealer = AesSealer(settings.home, settings.secret_key)
    databases = CustomerDatabases(Addresses(settings.allow_hosts), settings.sqlite_folder)
    # The data of whoever trains here is in it: other users of this machine have no business there.
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    clock = SystemClock()
    store, reads_in_place = _open_store(settings, clock)
    blobs = FolderBlobs(settings.home / "blobs")
    catalog = FolderCatalog(
        folders=settings.models, aliases=settings.aliases, cache=hugging_face_cache()
    )
    engines = _engines(settings, blobs, catalog)
    generator = ChildGenerator(threads=settings.threads)
    asking = _asking(sealer, databases, store, blobs, generator, clock)
    worker = Worker(
        store=store,
        engines=engines,
        catalog=catalog,
        blobs=blobs,
        clock=clock,
        training_sets=GoldenTrainingSets(
            store=store,
            tables=asking.tables,
            databases=asking.databases,
            questions=asking.questions,
            catalog=catalog,
            blobs=blobs,
        ),
        examiner=SqlExaminer(
            store=store,
            databases=asking.databases,
            questions=asking.questions,
            writer=asking.writer,
            catalog=catalog,
            blobs=blobs,
        ),
        owner=f"{socket.gethostname()}:{os.getpid()}",
        slots=settings.concurrent_jobs,
        lease_s=settings.lease_seconds,
    )
    run_folders = RunFolders(store, blobs)
    models = Models(store, catalog, run_folders, routing, store.deployments)
    jobs = Jobs(
        store=store,
        catalog=catalog,
        models=models,
        engines=engines,
        clock=clock,
        wake=worker.wake,
        routing=routing,
        text_model=settings.text_model,
    )
    services = Services(
        keys=Keys(store, clock),
        files=Files(store, blobs, clock, max_file_bytes=settings.max_file_bytes),
        jobs=jobs,
        models=models,
        deployments=Deployments(models, store.deployments, clock),
        routing=routing,
        generation=Generation(models, blobs, generator),
        health=Health(store, engines),
        text_to_sql=_text_to_sql(
            asking, store, jobs, models, clock, text_model=settings.text_model
        ),
        reads_in_place=reads_in_place,
    )
    return Wired(
        settings=settings,
        store=store,
        run_folders=run_folders,
        services=services,
        engines=engines,
        generator=generator,
        worker=worker,
    )


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
    app.add_middleware(BodyLimit, max_bytes=wired.settings.max_body_bytes, refusal=refusal)
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
        wired = build(settings)
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


def _engines(settings: Settings, blobs: Blobs, catalog: Catalog) -> dict[str, Engine]:
    """Every engine by its name, imported where it is chosen."""
    return {
        name: pkgutil.resolve_name(builder)(
            blobs=blobs,
            catalog=catalog,
            checkpoint_seconds=settings.checkpoint_seconds,
            threads=settings.threads,
        )
        for name, builder in ENGINES.items()
    }


def _routing(settings: Settings) -> Routing:
    accounts = {name: account.kind for name, account in settings.accounts.items()}
    return Routing(engines=ENGINES, accounts=accounts, routes=settings.routes)


@dataclass(frozen=True, kw_only=True)
class _Asking:
    """What it takes to ask models about databases, for callers and for jobs alike."""

    sealer: Sealer
    databases: ConnectedDatabases
    tables: Tables
    questions: Questions
    writer: SqlWriter


def _asking(
    sealer: Sealer,
    databases: Databases,
    store: Store,
    blobs: Blobs,
    generator: Generator,
    clock: Clock,
) -> _Asking:
    connected = ConnectedDatabases(databases, sealer)
    return _Asking(
        sealer=sealer,
        databases=connected,
        tables=Tables(store, connected, clock),
        questions=Questions(store, generator),
        writer=SqlWriter(blobs, generator),
    )


def _text_to_sql(
    asking: _Asking,
    store: Store,
    jobs: Jobs,
    models: Models,
    clock: Clock,
    *,
    text_model: str,
) -> TextToSql:
    prompts = Prompts(store=store, clock=clock)
    attempts = Attempts(
        questions=asking.questions, writer=asking.writer, databases=asking.databases
    )
    return TextToSql(
        connections=Connections(
            store=store,
            databases=asking.databases,
            sealer=asking.sealer,
            tables=asking.tables,
            clock=clock,
        ),
        tables=asking.tables,
        golden_records=GoldenRecords(store, clock),
        instructions=Instructions(store, clock),
        finetunings=Finetunings(store=store, jobs=jobs, clock=clock),
        prompts=prompts,
        sql_generations=SqlGenerations(
            store=store,
            prompts=prompts,
            jobs=jobs,
            models=models,
            attempts=attempts,
            databases=asking.databases,
            clock=clock,
            text_model=text_model,
        ),
    )


def _open_store(settings: Settings, clock: Clock) -> tuple[Store, bool]:
    if settings.database_url is None:
        return open_sqlite(settings.home / "tunery.db", clock), True
    # Imported where it is chosen: its driver costs as much start-up time as all the rest.
    open_postgres = pkgutil.resolve_name("tunery.store.postgres:open_store")
    return open_postgres(settings.database_url, clock), False


def _housekeeping(wired: Wired, ended: threading.Event) -> None:
    while not ended.is_set():
        for collect in (
            wired.services.files.collect_garbage,
            wired.run_folders.collect,
            wired.store.forget_old_answers,
        ):
            try:
                collect()
            except (TuneryError, OSError):
                logger.exception("cannot collect garbage; trying again later")
        ended.wait(GARBAGE_EVERY_S)
