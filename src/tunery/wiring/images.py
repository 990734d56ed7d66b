"""What it takes to make image finetunes and to draw with them, put together."""

from dataclasses import dataclass

from tunery.inference.painting import ChildPainter
from tunery.pictures.reading import ArchiveReader
from tunery.sealing import HmacSigner
from tunery.service.files import Files
from tunery.service.finetunes import Finetunes
from tunery.service.image_generations import ImageGenerations
from tunery.service.jobs import Jobs
from tunery.service.links import Links
from tunery.service.models import Models
from tunery.service.webhooks import few_at_a_time
from tunery.wiring.ground import Ground
from tunery.worker.drawing import Drawing


@dataclass(frozen=True, kw_only=True)
class Images:
    """What callers can do, and who does the work."""

    finetunes: Finetunes
    generations: ImageGenerations
    links: Links
    drawing: Drawing


def put_together(ground: Ground, jobs: Jobs, models: Models, files: Files) -> Images:
    """Everything over the same store; nothing runs yet."""
    settings, store, blobs, clock = ground.settings, ground.store, ground.blobs, ground.clock
    pictures, check_host = ArchiveReader(), few_at_a_time(ground.addresses.resolve)
    drawing = Drawing(
        store=store,
        painter=ChildPainter(threads=settings.threads),
        blobs=blobs,
        catalog=ground.catalog,
        clock=clock,
        lease_s=settings.lease_seconds,
    )
    return Images(
        finetunes=Finetunes(
            jobs=jobs,
            models=models,
            files=files,
            store=store,
            blobs=blobs,
            pictures=pictures,
            clock=clock,
            check_host=check_host,
        ),
        generations=ImageGenerations(
            store=store,
            blobs=blobs,
            pictures=pictures,
            sealer=ground.sealer,
            clock=clock,
            check_host=check_host,
            wake=drawing.wake,
        ),
        links=Links(HmacSigner(settings.home, settings.secret_key), clock),
        drawing=drawing,
    )
