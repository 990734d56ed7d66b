"""Everything that a server is made of, built once: settings in, use cases and workers out."""

import os
import pkgutil
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from tunery.addresses import Addresses
from tunery.bases.catalog import FolderCatalog, hugging_face_cache
from tunery.blobs.folder import FolderBlobs
from tunery.core.ports import Blobs, Catalog, Clock, Engine, Generator, NoticeWords, Store
from tunery.databases.customers import CustomerDatabases
from tunery.engines import ENGINES
from tunery.inference.process import ChildGenerator
from tunery.sealing import AesSealer
from tunery.service.deployments import Deployments
from tunery.service.files import Files
from tunery.service.garbage import RunFolders
from tunery.service.generate import Generation
from tunery.service.health import Health
from tunery.service.jobs import Jobs
from tunery.service.keys import Keys
from tunery.service.links import Links
from tunery.service.models import Models
from tunery.service.routing import Routing
from tunery.service.services import Services
from tunery.settings import Settings
from tunery.store.sqlite import open_store as open_sqlite
from tunery.webhooks.sender import Sender
from tunery.wiring import images, text_to_sql
from tunery.worker.drawing import Drawing
from tunery.worker.loop import Worker

Notices = Mapping[str, Callable[[Links], NoticeWords]]
"""For each door with webhooks: what makes their bodies, given what makes the links in them."""


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
    drawing: Drawing
    sender: Sender

    def start(self) -> None:
        """Begin to work."""
        for engine in self.engines.values():
            engine.start()
        self.worker.start()
        self.drawing.start()
        self.sender.start()

    def stop(self) -> None:
        """Let running jobs save a checkpoint, end every child, and close the store."""
        self.sender.stop()
        self.drawing.stop()
        self.worker.stop()
        for engine in self.engines.values():
            engine.close()
        self.generator.close()
        self.store.close()


def build(settings: Settings, notices: Notices) -> Wired:
    """The application as `settings` say; the database is brought up to date, nothing runs yet."""
    routing = _routing(settings)
    sealer = AesSealer(settings.home, settings.secret_key)
    addresses = Addresses(settings.allow_hosts)
    databases = CustomerDatabases(addresses, settings.sqlite_folder)
    # The data of whoever trains here is in it: other users of this machine have no business there.
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    clock = SystemClock()
    store, reads_in_place = _open_store(settings, clock)
    blobs = FolderBlobs(settings.home / "blobs")
    catalog = FolderCatalog(
        folders=settings.models,
        aliases=settings.aliases,
        cache=hugging_face_cache(),
        quantized=settings.quantize,
    )
    engines = _engines(settings, blobs, catalog)
    generator = ChildGenerator(threads=settings.threads)
    asking = text_to_sql.put_together(sealer, databases, store, blobs, generator, clock)
    worker = Worker(
        store=store,
        engines=engines,
        catalog=catalog,
        blobs=blobs,
        clock=clock,
        training_sets=text_to_sql.training_sets(asking, store, catalog, blobs),
        examiner=text_to_sql.examiner(asking, store, catalog, blobs),
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
        sealer=sealer,
        wake=worker.wake,
        routing=routing,
        text_model=settings.text_model,
        image_model=settings.image_model,
    )
    files = Files(store, blobs, clock, max_file_bytes=settings.max_file_bytes)
    imaging = images.put_together(
        settings,
        store=store,
        blobs=blobs,
        catalog=catalog,
        clock=clock,
        sealer=sealer,
        addresses=addresses,
        jobs=jobs,
        models=models,
        files=files,
    )
    services = Services(
        keys=Keys(store, clock),
        files=files,
        jobs=jobs,
        models=models,
        deployments=Deployments(models, store.deployments, clock),
        routing=routing,
        generation=Generation(models, blobs, generator),
        health=Health(store, engines),
        text_to_sql=text_to_sql.use_cases(
            asking, store, jobs, models, clock, text_model=settings.text_model
        ),
        finetunes=imaging.finetunes,
        image_generations=imaging.generations,
        links=imaging.links,
        public_url=settings.public_url,
        reads_in_place=reads_in_place,
    )
    sender = Sender(
        store=store,
        addresses=addresses,
        sealer=sealer,
        words={door: words(imaging.links) for door, words in notices.items()},
        clock=clock,
    )
    return Wired(
        settings=settings,
        store=store,
        run_folders=run_folders,
        services=services,
        engines=engines,
        generator=generator,
        worker=worker,
        drawing=imaging.drawing,
        sender=sender,
    )


def _engines(settings: Settings, blobs: Blobs, catalog: Catalog) -> dict[str, Engine]:
    """Every engine by its name, imported where it is chosen."""
    return {
        name: pkgutil.resolve_name(builder)(
            blobs=blobs,
            catalog=catalog,
            checkpoint_seconds=settings.checkpoint_seconds,
            threads=settings.threads,
            caption_model=settings.caption_model,
            precision=settings.precision,
        )
        for name, builder in ENGINES.items()
    }


def _routing(settings: Settings) -> Routing:
    accounts = {name: account.kind for name, account in settings.accounts.items()}
    return Routing(engines=ENGINES, accounts=accounts, routes=settings.routes)


def _open_store(settings: Settings, clock: Clock) -> tuple[Store, bool]:
    if settings.database_url is None:
        return open_sqlite(settings.home / "tunery.db", clock), True
    # Imported where it is chosen: its driver costs as much start-up time as all the rest.
    open_postgres = pkgutil.resolve_name("tunery.store.postgres:open_store")
    return open_postgres(settings.database_url, clock), False
