"""Everything behind the doors, in memory: a server without processes or disks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fastapi import FastAPI
from starlette.exceptions import HTTPException

from tests.dialects.databases import HidingSealer, ScriptedDatabases
from tests.dialects.pictures import picture
from tests.store.values import (
    FINISHED,
    GOOD,
    OURS,
    THEIRS,
    MovableClock,
    a_file,
    claimed,
    first_key,
    saved,
    steps,
)
from tunery.blobs.folder import FolderBlobs
from tunery.core.access import Caller
from tunery.core.closable import Closable
from tunery.core.errors import InvalidValue, NotFound, TuneryError
from tunery.core.files import Format
from tunery.core.generation import GenerationRequest, Measured, Piece
from tunery.core.image_generations import GenerationStatus, ImageGeneration
from tunery.core.models import BaseModel, Modality
from tunery.core.preflight import Preflight
from tunery.dialects import DIALECTS, answer_http_exception
from tunery.engines.scripted import ScriptedEngine
from tunery.pictures.reading import ArchiveReader
from tunery.sealing import HmacSigner
from tunery.service.deployments import Deployments
from tunery.service.files import Files
from tunery.service.finetunes import Finetunes
from tunery.service.garbage import RunFolders
from tunery.service.generate import Generation
from tunery.service.health import Health
from tunery.service.image_generations import ImageGenerations
from tunery.service.jobs import Jobs
from tunery.service.keys import Keys
from tunery.service.links import Links
from tunery.service.models import Models
from tunery.service.routing import Routing
from tunery.service.services import Services
from tunery.store.memory import MemoryStore
from tunery.wiring import text_to_sql

REPORT = Preflight(
    format="chat",
    n_rows=20,
    n_examples=20,
    n_overlong=0,
    context=2048,
    tokens=None,
    problems=(),
    n_errors=0,
    n_warnings=0,
    memory_bytes=1_000_000,
)


SECRET_KEY = "A" * 43 + "="
"""That of the installation: 32 bytes of nothing."""
NOWHERE = "nowhere.example"
"""The host where no webhook may go."""
DRAWN = picture(96, 64)
"""What is drawn, whatever was asked for."""


class FakeCatalog:
    """Three base models, one of them of images, and one alias."""

    def __init__(self) -> None:
        made = MovableClock().now()
        models: tuple[tuple[str, str, Modality], ...] = (
            ("tiny-chat", "tunery", "text"),
            ("org/model", "org", "text"),
            ("tiny-image", "tunery", "image"),
        )
        self._models = {
            name: BaseModel(
                name=name, location=f"/{name}", owned_by=owner, created_at=made, modality=modality
            )
            for name, owner, modality in models
        }
        self._aliases = {"gpt-4o-mini": "tiny-chat"}

    def models(self) -> Sequence[BaseModel]:
        return list(self._models.values())

    def resolve(self, name: str) -> BaseModel:
        found = self._models.get(self._aliases.get(name, name))
        if found is None:
            message = f"There is no base model {name!r}. Base models here: tiny-chat, org/model."
            raise NotFound("model", name, param="model", message=message)
        return found

    def weights_bytes(self, name: str) -> int:
        return 0


class ScriptedGenerator:
    """Says what it was told to, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[GenerationRequest] = []
        self.pieces: list[Piece] = [
            Piece(text="Hel"),
            Piece(text="lo"),
            Piece(finish_reason="stop", usage=(5, 2)),
        ]
        self.says: list[str] = []
        """Whole answers to the requests to come; `pieces` once there are none left."""
        self.failure: TuneryError | None = None
        self.n_closed = 0

    def generate(self, request: GenerationRequest) -> Closable[Piece]:
        self.asked.append(request)
        try:
            yield from [_whole(self.says.pop(0))] if self.says else self.pieces
            if self.failure is not None:
                raise self.failure
        finally:
            self.n_closed += 1

    def measure(self, location: str, texts: Sequence[str]) -> Measured:
        """A token a word."""
        return Measured(context=2048, n_tokens=tuple(len(text.split()) for text in texts))

    def close(self) -> None:
        return


def _whole(text: str) -> Piece:
    return Piece(text=text, finish_reason="stop", usage=(5, 2))


@dataclass(frozen=True, kw_only=True)
class World:
    """What the tests move, and the application that they ask."""

    store: MemoryStore
    blobs: FolderBlobs
    clock: MovableClock
    generator: ScriptedGenerator
    databases: ScriptedDatabases
    services: Services
    app: FastAPI

    def file(
        self,
        caller: Caller = OURS,
        *,
        purpose: str = "fine-tune",
        n_rows: int = 20,
        format: Format = Format.CHAT,
    ) -> str:
        """The id of an uploaded training file."""
        file = replace(a_file(caller.project_id, purpose=purpose), format=format, n_rows=n_rows)
        self.store.add_file(file)
        return file.id

    def draw(self, generation_id: str, *, error: str | None = None) -> ImageGeneration:
        """Draw the image that waits, or fail with `error`; it takes two seconds."""
        errand = self.store.take_errand("draw", 30)
        assert errand is not None
        assert errand.subject == generation_id
        generation = self.store.image_generation(errand.project_id, generation_id)
        began = self.clock.now()
        self.clock.advance(2)
        if error is None:
            writer = self.blobs.writer(generation.image)
            writer.write(DRAWN)
            writer.commit()
        drawn = replace(
            generation,
            status=GenerationStatus.READY if error is None else GenerationStatus.FAILED,
            progress=1.0 if error is None else 0.5,
            error=error,
            started_at=began,
            finished_at=self.clock.now(),
        )
        self.store.record_drawing(errand, drawn)
        return drawn

    def finish(self, job_id: str, *, n_steps: int = 3) -> str:
        """Carry out the job that waits, with a checkpoint at the last step; its model's name."""
        validation = claimed(self.store)
        assert validation.job.id == job_id
        self.store.validated(validation.lease, GOOD)
        run = claimed(self.store)
        self.store.apply(run.lease, [*steps(1, n_steps), saved(n_steps), FINISHED])
        model = self.store.job(run.job.project_id, job_id).fine_tuned_model
        assert model is not None
        return model


def make_world(folder: Path) -> World:
    """A server with the projects of `OURS` and `THEIRS`, whose keys' ids are also their secrets."""
    clock, generator, catalog = MovableClock(), ScriptedGenerator(), FakeCatalog()
    store = MemoryStore(clock)
    for caller in (OURS, THEIRS):
        store.add_project(caller, first_key(caller))
    blobs, databases, sealer = FolderBlobs(folder), ScriptedDatabases(), HidingSealer()
    engines = {"local": ScriptedEngine([FINISHED], report=REPORT)}
    routing = Routing(
        engines=engines, accounts={"openai-main": "local"}, routes={"org/*": "openai-main"}
    )
    models = Models(store, catalog, RunFolders(store, blobs), routing, store.deployments)
    files = Files(store, blobs, clock, max_file_bytes=1_000_000)
    reader = ArchiveReader()
    jobs = Jobs(
        store=store,
        catalog=catalog,
        models=models,
        engines=engines,
        clock=clock,
        sealer=sealer,
        wake=lambda: None,
        routing=routing,
    )
    asking = text_to_sql.put_together(sealer, databases, store, blobs, generator, clock)
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
            asking, store, jobs, models, clock, text_model="tiny-chat"
        ),
        finetunes=Finetunes(
            jobs=jobs,
            models=models,
            files=files,
            store=store,
            blobs=blobs,
            pictures=reader,
            clock=clock,
            check_host=_public,
        ),
        image_generations=ImageGenerations(
            store=store,
            blobs=blobs,
            pictures=reader,
            sealer=sealer,
            clock=clock,
            check_host=_public,
            wake=lambda: None,
        ),
        links=Links(HmacSigner(folder, SECRET_KEY), clock),
        public_url=None,
        reads_in_place=True,
    )
    app = FastAPI(redirect_slashes=False)
    app.state.services = services
    for router in DIALECTS:
        app.include_router(router)
    app.add_exception_handler(HTTPException, answer_http_exception)
    return World(
        store=store,
        blobs=blobs,
        clock=clock,
        generator=generator,
        databases=databases,
        services=services,
        app=app,
    )


def _public(host: str, _: int) -> None:
    if host == NOWHERE:
        raise InvalidValue(f"{host!r} is not on a public address.", code="host_not_allowed")
