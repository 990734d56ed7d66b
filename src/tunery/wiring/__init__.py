"""Everything that a server is made of, built once: settings in, use cases and workers out."""

import os
import pkgutil
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tunery.core.ports import Engine, Generator, NoticeWords, Store
from tunery.engines import ENGINES
from tunery.inference.process import ChildGenerator
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
from tunery.webhooks.sender import Sender
from tunery.wiring import images, text_to_sql
from tunery.wiring.ground import Ground, lay_ground
from tunery.worker.drawing import Drawing
from tunery.worker.loop import Worker

Notices = Mapping[str, Callable[[Links], NoticeWords]]
"""For each door with webhooks: what makes their bodies, given what makes the links in them."""


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
    # First what may refuse the settings: then nothing is made.
    routing = _routing(settings)
    ground = lay_ground(settings)
    store, clock = ground.store, ground.clock
    engines = _engines(ground)
    generator = ChildGenerator(threads=settings.threads)
    asking = text_to_sql.put_together(
        ground.sealer, ground.databases, store, ground.blobs, generator, clock
    )
    worker = _worker(ground, engines, asking)
    run_folders = RunFolders(store, ground.blobs)
    models = Models(store, ground.catalog, run_folders, routing, store.deployments)
    jobs = Jobs(
        store=store,
        catalog=ground.catalog,
        models=models,
        engines=engines,
        clock=clock,
        sealer=ground.sealer,
        wake=worker.wake,
        routing=routing,
        text_model=settings.text_model,
        image_model=settings.image_model,
    )
    files = Files(store, ground.blobs, clock, max_file_bytes=settings.max_file_bytes)
    imaging = images.put_together(ground, jobs, models, files)
    services = Services(
        keys=Keys(store, clock),
        files=files,
        jobs=jobs,
        models=models,
        deployments=Deployments(models, store.deployments, clock),
        routing=routing,
        generation=Generation(models, ground.blobs, generator),
        health=Health(store, engines),
        text_to_sql=text_to_sql.use_cases(
            asking, store, jobs, models, clock, text_model=settings.text_model
        ),
        finetunes=imaging.finetunes,
        image_generations=imaging.generations,
        links=imaging.links,
        public_url=settings.public_url,
        reads_in_place=ground.reads_in_place,
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
        sender=_sender(ground, notices, imaging.links),
    )


def _routing(settings: Settings) -> Routing:
    accounts = {name: account.kind for name, account in settings.accounts.items()}
    return Routing(engines=ENGINES, accounts=accounts, routes=settings.routes)


def _engines(ground: Ground) -> dict[str, Engine]:
    """Every engine by its name, imported where it is chosen."""
    settings = ground.settings
    return {
        name: pkgutil.resolve_name(builder)(
            blobs=ground.blobs,
            catalog=ground.catalog,
            checkpoint_seconds=settings.checkpoint_seconds,
            threads=settings.threads,
            caption_model=settings.caption_model,
            precision=settings.precision,
        )
        for name, builder in ENGINES.items()
    }


def _worker(ground: Ground, engines: Mapping[str, Engine], asking: text_to_sql.Asking) -> Worker:
    store, catalog, blobs = ground.store, ground.catalog, ground.blobs
    return Worker(
        store=store,
        engines=engines,
        catalog=catalog,
        blobs=blobs,
        clock=ground.clock,
        training_sets=text_to_sql.training_sets(asking, store, catalog, blobs),
        examiner=text_to_sql.examiner(asking, store, catalog, blobs),
        owner=f"{socket.gethostname()}:{os.getpid()}",
        slots=ground.settings.concurrent_jobs,
        lease_s=ground.settings.lease_seconds,
    )


def _sender(ground: Ground, notices: Notices, links: Links) -> Sender:
    return Sender(
        store=ground.store,
        addresses=ground.addresses,
        sealer=ground.sealer,
        words={door: words(links) for door, words in notices.items()},
        clock=ground.clock,
    )
