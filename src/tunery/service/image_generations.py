"""Images of tuned models: ask for them, look at them, and clean up."""

import hashlib
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from tunery.core.access import Caller
from tunery.core.errors import Conflict, InvalidValue, NotFound, TooMany
from tunery.core.image_generations import GenerationStatus, ImageGeneration, ImageSettings
from tunery.core.method import Subject
from tunery.core.ports import (
    Blobs,
    Clock,
    ErrandStore,
    Idempotency,
    JobStore,
    PictureReader,
    Sealer,
)
from tunery.service.webhooks import HostCheck, sealed, webhook

MOST_PENDING = 24
"""Images of a project that are yet to be drawn: BFL's limit of active tasks."""

KEPT = timedelta(days=7)
"""As long is an image that was drawn, or was not, remembered."""

_FOLDER = "image-generations"


@dataclass(frozen=True, kw_only=True)
class NewImage:
    """What a caller asks for, after a dialect has translated it."""

    job_id: str
    """The finetune: the job whose model is to draw."""
    settings: ImageSettings
    """Where there is a `source`, its size is the image's, whatever is said here."""
    source: bytes | None = field(default=None, repr=False)
    """The picture, as it came, part of which is to be drawn anew."""
    mask: bytes | None = field(default=None, repr=False)
    """A picture of the same size, white where it is; None: where `source` is transparent, or
    everywhere if that is nowhere."""
    webhook_url: str | None = None
    webhook_secret: str | None = field(default=None, repr=False)
    link_base: str
    """What the links in a webhook begin with."""
    door: str = "bfl"
    """In whose words the webhook is told."""


class GenerationStore(ErrandStore, JobStore, Protocol):
    """What this use case needs to remember."""


class ImageGenerations:
    """The use cases of images. Each names the caller's project, but for `image`."""

    def __init__(
        self,
        *,
        store: GenerationStore,
        blobs: Blobs,
        pictures: PictureReader,
        sealer: Sealer,
        clock: Clock,
        check_host: HostCheck,
        wake: Callable[[], None],
    ) -> None:
        """`check_host` says where webhooks may not go; `wake` tells who draws in this process."""
        self._store = store
        self._blobs = blobs
        self._pictures = pictures
        self._sealer = sealer
        self._clock = clock
        self._check_host = check_host
        self._wake = wake
        self._adding = threading.Lock()

    def create(
        self, caller: Caller, new: NewImage, idempotency: Idempotency | None = None
    ) -> ImageGeneration:
        """Keep a new generation, to be drawn by a worker.

        Raises:
            NotFound: the project has no such finetune, or it is not ready.
            InvalidValue: a picture or the webhook's address cannot be used; `param` names it.
            TooMany: so many images are yet to be drawn.
            Conflict: the idempotency key came before with another request.
        """
        generation_id = _generation_id(caller, idempotency)
        if (answered := self._answered(caller, generation_id, idempotency)) is not None:
            return answered
        self._check_finetune(caller, new.job_id)
        told = webhook(
            new.webhook_url,
            new.webhook_secret,
            door=new.door,
            link_base=new.link_base,
            check_host=self._check_host,
        )
        source, mask = self._read_pictures(new)
        settings = new.settings
        if source is not None:
            width, height = self._pictures.size(source)
            settings = replace(settings, width=width, height=height)
        generation = ImageGeneration(
            id=generation_id,
            project_id=caller.project_id,
            job_id=new.job_id,
            settings=settings,
            created_at=self._clock.now(),
            fills=source is not None,
            has_mask=mask is not None,
            webhook=sealed(told, self._sealer, bound_to=generation_id),
            request_hash=None if idempotency is None else idempotency.request_hash,
        )
        self._add(generation, source, mask)
        # Of two calls with one key that came at once, the other's may be the one that was kept.
        kept = self._answered(caller, generation_id, idempotency) or generation
        self._wake()
        return kept

    def get(self, caller: Caller, generation_id: str) -> ImageGeneration:
        """One generation; NotFound where the project has none."""
        return self._store.image_generation(caller.project_id, generation_id)

    def image(self, generation_id: str) -> tuple[ImageGeneration, Path]:
        """An image that is ready, of any project, and where its bytes lie; for signed links.

        Raises:
            NotFound: there is none.
        """
        generation = self._store.image_generation_of_link(generation_id)
        path = self._blobs.path(generation.image)
        if generation.status is not GenerationStatus.READY or not path.is_file():
            raise NotFound("image", generation_id)
        return generation, path

    def collect_garbage(self) -> None:
        """Forget what is over for long, and what was begun and never kept."""
        before = self._clock.now() - KEPT
        while generations := self._store.image_generations_before(before):
            for generation in generations:
                self._blobs.delete(generation.folder)
                self._store.forget_image_generation(generation)
        for name in self._blobs.names(_FOLDER):
            folder = f"{_FOLDER}/{name}"
            written_at = self._blobs.path(folder).stat().st_mtime
            if written_at < before.timestamp() and not self._is_known(name):
                self._blobs.delete(folder)

    def _answered(
        self, caller: Caller, generation_id: str, idempotency: Idempotency | None
    ) -> ImageGeneration | None:
        """The generation that this key has made; None where it is new."""
        if idempotency is None:
            return None
        try:
            known = self.get(caller, generation_id)
        except NotFound:
            return None
        if known.request_hash != idempotency.request_hash:
            raise Conflict(
                f"The idempotency key {idempotency.key!r} was used with another request; use a "
                "new key for a new request."
            )
        return known

    def _check_finetune(self, caller: Caller, job_id: str) -> None:
        try:
            job = self._store.job(caller.project_id, job_id)
            # There is one as soon as the job has succeeded, and until it is deleted.
            self._store.model_of(caller.project_id, job_id)
        except NotFound:
            raise NotFound("finetune", job_id) from None
        if not isinstance(job.method, Subject):
            raise NotFound("finetune", job_id)

    def _read_pictures(self, new: NewImage) -> tuple[bytes | None, bytes | None]:
        if new.source is None:
            return None, None
        source = self._pictures.read_picture(new.source, param="image")
        if new.mask is None:
            return source, self._pictures.read_transparency(new.source, param="image")
        mask = self._pictures.read_mask(new.mask, param="mask")
        (width, height), of_mask = self._pictures.size(source), self._pictures.size(mask)
        if of_mask != (width, height):
            raise InvalidValue(
                f"The mask has {of_mask[0]} x {of_mask[1]} pixels; it must have the "
                f"{width} x {height} of the picture.",
                param="mask",
            )
        return source, mask

    def _add(self, generation: ImageGeneration, source: bytes | None, mask: bytes | None) -> None:
        """Keep it: the pictures first, as it may be drawn the moment that it is known."""
        with self._adding:
            # Of two calls with one key that came at once, the first one's pictures are there.
            if generation.request_hash is not None and self._is_known(generation.id):
                return
            if self._store.n_pending_images(generation.project_id) >= MOST_PENDING:
                raise TooMany(
                    f"{MOST_PENDING} images are yet to be drawn, as many as may be at a time; "
                    "ask again when one of them is ready."
                )
            for key, data in ((generation.source, source), (generation.mask, mask)):
                if data is not None:
                    self._write(key, data)
            self._store.add_image_generation(generation)

    def _write(self, key: str, data: bytes) -> None:
        writer = self._blobs.writer(key)
        try:
            writer.write(data)
            writer.commit()
        finally:
            writer.discard()

    def _is_known(self, generation_id: str) -> bool:
        try:
            self._store.image_generation_of_link(generation_id)
        except NotFound:
            return False
        return True


def _generation_id(caller: Caller, idempotency: Idempotency | None) -> str:
    """Another one each time, but the same for the same key of a project."""
    if idempotency is None:
        return str(uuid.uuid4())
    digest = hashlib.sha256(f"{caller.project_id} {idempotency.key}".encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))
