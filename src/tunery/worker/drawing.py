"""Drawing the images that were asked for: one at a time, in a thread of its own.

Whoever draws a picture again, after a crash, draws the same: what a lost worker has left is what
its successor writes in its place.
"""

import logging
import threading
import time
from contextlib import closing
from dataclasses import replace
from typing import Protocol

from tunery.core.errands import Errand
from tunery.core.errors import (
    InvalidValue,
    LeaseLost,
    NotFound,
    TuneryError,
    Unavailable,
    Unsupported,
)
from tunery.core.image_generations import (
    GenerationStatus,
    ImageGeneration,
    Painted,
    PaintRequest,
)
from tunery.core.ports import Blobs, Catalog, Clock, ErrandStore, JobStore, Painter
from tunery.worker.lease import Heartbeat

logger = logging.getLogger(__name__)

POLL_S = 1.0
"""How long it waits before it asks for work again, unless it is woken."""

PROGRESS_S = 1.0
"""Progress is written at most so often."""

DELAYS_S = (5.0, 30.0)
"""After each attempt that failed for a reason which may pass; the next failure is the last."""

_DELETED = "The finetune was deleted before the image was drawn."


class DrawingStore(ErrandStore, JobStore, Protocol):
    """What is read and recorded here."""


class Drawing:
    """Takes what is to be drawn, has it painted, and records what became of it."""

    def __init__(
        self,
        *,
        store: DrawingStore,
        painter: Painter,
        blobs: Blobs,
        catalog: Catalog,
        clock: Clock,
        lease_s: float,
    ) -> None:
        """`painter` belongs to this: it is closed by `stop`."""
        self._store = store
        self._painter = painter
        self._blobs = blobs
        self._catalog = catalog
        self._clock = clock
        self._lease_s = lease_s
        self._bell = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="drawing", daemon=True)

    def start(self) -> None:
        """Begin to take errands."""
        self._thread.start()

    def wake(self) -> None:
        """Something waits: look at once."""
        self._bell.set()

    def stop(self) -> None:
        """Give back what is being drawn, and end the painter."""
        self._stopping.set()
        self._bell.set()
        # It may be silent for minutes, while it loads a model; closed, it says so.
        self._painter.close()
        if self._thread.ident is not None:
            self._thread.join()

    def _work(self) -> None:
        while not self._stopping.is_set():
            if not self._drew() and self._bell.wait(POLL_S) and not self._stopping.is_set():
                self._bell.clear()

    def _drew(self) -> bool:
        """Take an errand and see it through; whatever happens, this thread lives on."""
        try:
            errand = self._store.take_errand("draw", self._lease_s)
            if errand is not None:
                self._carry(errand)
        except LeaseLost as lost:
            logger.info("a drawing is somebody else's now: %s", lost)
        except TuneryError as error:
            # The store failed: the lease runs out, and the errand is taken again.
            logger.warning("drawing was interrupted: %s", error)
            return False
        except Exception:
            logger.exception("drawing was interrupted")
            return False
        return errand is not None

    def _carry(self, errand: Errand) -> None:
        try:
            generation = self._store.image_generation(errand.project_id, errand.subject)
        except NotFound:
            self._store.finish_errand(errand)
            return
        try:
            self._draw(errand, generation)
        except LeaseLost:
            raise
        except (InvalidValue, NotFound, Unsupported) as error:
            deleted = not self._has_model(generation)
            self._fail(errand, generation, _DELETED if deleted else error.message)
        except TuneryError as error:
            self._try_again(errand, generation, error.message)
        except Exception as error:
            logger.exception("image %s cannot be drawn", generation.id)
            why = f"It failed ({type(error).__name__}). The server's log says more."
            self._try_again(errand, generation, why)

    def _draw(self, errand: Errand, generation: ImageGeneration) -> None:
        begun = replace(generation, started_at=generation.started_at or self._clock.now())
        request = self._request(generation)
        written_at = float("-inf")
        with (
            self._heartbeat(errand) as heartbeat,
            closing(self._painter.paint(request)) as values,
        ):
            for value in values:
                if heartbeat.lost.is_set():
                    raise LeaseLost(f"The lease of {errand.id} could not be renewed.")
                if isinstance(value, Painted):
                    self._keep(errand, begun, value)
                    return
                if self._stopping.is_set():
                    break
                if time.monotonic() >= written_at + PROGRESS_S:
                    written_at = time.monotonic()
                    self._store.model_of(begun.project_id, begun.job_id)
                    self._store.record_drawing(errand, replace(begun, progress=value))
        raise Unavailable("The painter ended without an image.")

    def _request(self, generation: ImageGeneration) -> PaintRequest:
        model = self._store.model_of(generation.project_id, generation.job_id)
        return PaintRequest(
            location=self._catalog.resolve(model.base_model).location,
            adapter=str(self._blobs.path(model.adapter)),
            settings=generation.settings,
            source=self._bytes(generation.source) if generation.fills else None,
            mask=self._bytes(generation.mask) if generation.has_mask else None,
        )

    def _bytes(self, key: str) -> bytes:
        return b"".join(self._blobs.read(key))

    def _heartbeat(self, errand: Errand) -> Heartbeat:
        def renew() -> None:
            self._store.renew_errand(errand, self._lease_s)

        return Heartbeat(renew, errand.id, lease_s=self._lease_s)

    def _keep(self, errand: Errand, generation: ImageGeneration, painted: Painted) -> None:
        writer = self._blobs.writer(generation.image)
        try:
            writer.write(painted.image)
            writer.commit()
        finally:
            writer.discard()
        # No picture is given out of a model that was deleted before it was ready.
        self._store.model_of(generation.project_id, generation.job_id)
        ready = replace(
            generation,
            status=GenerationStatus.READY,
            progress=1.0,
            finished_at=self._clock.now(),
        )
        self._store.record_drawing(errand, ready)
        self._discard(generation.source, generation.mask)

    def _fail(self, errand: Errand, generation: ImageGeneration, message: str) -> None:
        logger.info("image %s was not drawn: %s", generation.id, message)
        failed = replace(
            generation,
            status=GenerationStatus.FAILED,
            error=message,
            finished_at=self._clock.now(),
        )
        self._store.record_drawing(errand, failed)
        self._discard(generation.folder)

    def _discard(self, *keys: str) -> None:
        """Remove what nobody needs any more; what stays goes with the generation."""
        try:
            for key in keys:
                self._blobs.delete(key)
        except OSError:
            logger.exception("cannot remove what a drawing left")

    def _try_again(self, errand: Errand, generation: ImageGeneration, why: str) -> None:
        if self._stopping.is_set():
            self._store.put_off_errand(errand, 0)
        elif errand.n_attempts > len(DELAYS_S):
            self._fail(errand, generation, why)
        else:
            logger.warning("image %s will be tried again: %s", generation.id, why)
            self._store.put_off_errand(errand, DELAYS_S[errand.n_attempts - 1])

    def _has_model(self, generation: ImageGeneration) -> bool:
        try:
            self._store.model_of(generation.project_id, generation.job_id)
        except NotFound:
            return False
        return True
