"""Images drawn by a scripted painter, over the store in memory."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.store.finetunes import a_finetune, deleted_model, finetuned
from tests.store.values import OURS, START, WEBHOOK, an_image, first_key
from tests.worker.bench import Now, wait_until
from tunery.bases.catalog import FolderCatalog
from tunery.blobs.folder import FolderBlobs
from tunery.core.closable import Closable
from tunery.core.errands import Errand
from tunery.core.errors import InvalidValue, Unavailable, Unsupported
from tunery.core.image_generations import (
    GenerationStatus,
    ImageGeneration,
    Painted,
    PaintRequest,
)
from tunery.store.memory import MemoryStore
from tunery.worker import drawing
from tunery.worker.drawing import Drawing

LEASE_S = 1.0
IMAGE = Painted(image=b"an image")


class ScriptedPainter:
    """Paints by a script for each request: progress, an image, failures, and things to do."""

    def __init__(self, *scripts: Sequence[object]) -> None:
        self._scripts = list(scripts)
        self.asked: list[PaintRequest] = []
        self.n_ended = 0
        self.closed = threading.Event()

    def paint(self, request: PaintRequest) -> Closable[float | Painted]:
        self.asked.append(request)
        try:
            for step in self._scripts.pop(0) if self._scripts else (0.0, IMAGE):
                if isinstance(step, Exception):
                    raise step
                if callable(step):
                    step()
                else:
                    assert isinstance(step, float | Painted)
                    yield step
        finally:
            self.n_ended += 1

    def until_asked(self) -> None:
        wait_until(lambda: self.asked != [])

    def until_closed(self) -> None:
        assert self.closed.wait(30)

    def silence(self) -> None:
        """As while a model is loaded: nothing is heard before the end."""
        self.until_closed()
        raise Unavailable("This server is shutting down.")

    def close(self) -> None:
        self.closed.set()


class Studio:
    """A finetune, who draws with it, and what is asked of both."""

    def __init__(self, folder: Path, painter: ScriptedPainter) -> None:
        self.store = MemoryStore(Now())
        self.store.add_project(OURS, first_key(OURS))
        self.blobs = FolderBlobs(folder)
        self.painter = painter
        self.finetune = finetuned(self.store)
        self.drawing = self.successor(painter)

    def successor(self, painter: ScriptedPainter) -> Drawing:
        """Another who draws: the server, after its restart."""
        return Drawing(
            store=self.store,
            painter=painter,
            blobs=self.blobs,
            catalog=FolderCatalog(folders={}, aliases={}, cache=Path("no-cache")),
            clock=Now(),
            lease_s=LEASE_S,
        )

    def ask(self, *, told: bool = False) -> ImageGeneration:
        generation = an_image(self.finetune, webhook=WEBHOOK if told else None)
        self.store.add_image_generation(generation)
        return generation

    def now(self, generation: ImageGeneration) -> ImageGeneration:
        return self.store.image_generation("ours", generation.id)

    def over(self, generation: ImageGeneration) -> ImageGeneration:
        wait_until(lambda: self.now(generation).status is not GenerationStatus.PENDING)
        return self.now(generation)

    def write(self, key: str, data: bytes) -> None:
        writer = self.blobs.writer(key)
        writer.write(data)
        writer.commit()

    def left(self, generation: ImageGeneration) -> Sequence[str]:
        """What lies on disk of it."""
        return self.blobs.names(generation.folder)

    def waiting(self) -> list[Errand]:
        """The drawings that are yet to be made, whoever holds them."""
        return [
            kept.errand for kept in self.store._state.errands.values() if kept.errand.kind == "draw"
        ]


@contextmanager
def drawing_in(studio: Studio) -> Iterator[Studio]:
    studio.drawing.start()
    try:
        yield studio
    finally:
        studio.drawing.stop()


@pytest.fixture(autouse=True)
def short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "DELAYS_S", (0.01, 0.02))
    monkeypatch.setattr(drawing, "POLL_S", 0.02)


def test_an_image_is_drawn_with_the_adapter_of_its_finetune(tmp_path: Path) -> None:
    with drawing_in(Studio(tmp_path, ScriptedPainter())) as studio:
        asked = studio.ask(told=True)
        done = studio.over(asked)

    assert done.status is GenerationStatus.READY
    assert (done.progress, done.error) == (1.0, None)
    assert done.started_at is not None
    assert done.finished_at is not None
    assert done.started_at <= done.finished_at
    assert b"".join(studio.blobs.read(done.image)) == b"an image"
    [request] = studio.painter.asked
    model = studio.store.model_of("ours", studio.finetune.id)
    assert request.location.endswith("tiny-image")
    assert request.adapter == str(studio.blobs.path(model.adapter))
    assert request.settings == asked.settings
    assert (request.source, request.mask) == (None, None)
    assert studio.waiting() == []
    told = studio.store.take_errand("tell", 10)
    assert told is not None
    assert told.notice is not None
    assert (told.notice.subject, told.notice.outcome) == (asked.id, "succeeded")


def test_the_picture_to_fill_is_handed_on_and_goes_when_it_is_drawn(tmp_path: Path) -> None:
    studio = Studio(tmp_path, ScriptedPainter())
    asked = replace(an_image(studio.finetune), fills=True, has_mask=True)
    studio.write(asked.source, b"a picture")
    studio.write(asked.mask, b"a mask")
    studio.store.add_image_generation(asked)
    with drawing_in(studio):
        studio.over(asked)
        wait_until(lambda: studio.left(asked) == ["image.jpeg"])

    [request] = studio.painter.asked
    assert (request.source, request.mask) == (b"a picture", b"a mask")


def test_progress_is_written_once_a_second_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "PROGRESS_S", 0.2)

    def pause() -> None:
        time.sleep(0.01)

    steps = [step for number in range(100) for step in (number / 100, pause)]
    studio = Studio(tmp_path, ScriptedPainter([*steps, IMAGE]))
    seen: list[float] = []
    record = studio.store.record_drawing

    def recorded(errand: Errand, generation: ImageGeneration) -> None:
        seen.append(generation.progress)
        record(errand, generation)

    monkeypatch.setattr(studio.store, "record_drawing", recorded)
    with drawing_in(studio):
        studio.over(studio.ask())

    assert seen[0] == 0.0
    assert seen[-1] == 1.0
    assert seen == sorted(seen)
    assert 3 <= len(seen) <= 12


@pytest.mark.parametrize(
    "failure", [InvalidValue("There is no such base."), Unsupported("It is no FLUX model.")]
)
def test_what_cannot_be_drawn_fails_at_once_and_says_why(
    tmp_path: Path, failure: Exception
) -> None:
    studio = Studio(tmp_path, ScriptedPainter([0.1, failure]))
    with drawing_in(studio):
        done = studio.over(studio.ask(told=True))

    assert done.status is GenerationStatus.FAILED
    assert done.error == str(failure)
    assert done.finished_at is not None
    assert len(studio.painter.asked) == 1
    told = studio.store.take_errand("tell", 10)
    assert told is not None
    assert told.notice is not None
    assert (told.notice.outcome, told.notice.message) == ("failed", str(failure))


def test_a_painter_that_dies_is_asked_again_for_the_same_picture(tmp_path: Path) -> None:
    died = Unavailable("The child was killed by signal 9.")
    with drawing_in(Studio(tmp_path, ScriptedPainter([0.1, died], [died]))) as studio:
        done = studio.over(studio.ask())

    assert done.status is GenerationStatus.READY
    first, second, third = studio.painter.asked
    assert first == second == third


def test_a_painter_that_dies_three_times_is_asked_no_more(tmp_path: Path) -> None:
    died = Unavailable("The child was killed by signal 9.")
    with drawing_in(Studio(tmp_path, ScriptedPainter(*[[died]] * 4))) as studio:
        done = studio.over(studio.ask())

    assert done.status is GenerationStatus.FAILED
    assert done.error == died.message
    assert len(studio.painter.asked) == 3
    assert studio.waiting() == []


def test_what_nobody_foresaw_shows_no_inside(tmp_path: Path) -> None:
    odd = ZeroDivisionError("/root/secret")
    with drawing_in(Studio(tmp_path, ScriptedPainter(*[[odd]] * 3))) as studio:
        done = studio.over(studio.ask())
        after = studio.over(studio.ask())

    assert done.error == "It failed (ZeroDivisionError). The server's log says more."
    assert after.status is GenerationStatus.READY


def test_a_painter_that_ends_without_an_image_has_failed(tmp_path: Path) -> None:
    with drawing_in(Studio(tmp_path, ScriptedPainter(*[[0.5]] * 3))) as studio:
        done = studio.over(studio.ask())

    assert done.error == "The painter ended without an image."


def test_a_base_model_that_is_gone_is_named(tmp_path: Path) -> None:
    studio = Studio(tmp_path, ScriptedPainter())
    studio.finetune = finetuned(studio.store, replace(a_finetune(), base_model="org/gone"))
    with drawing_in(studio):
        done = studio.over(studio.ask())

    assert done.status is GenerationStatus.FAILED
    assert "org/gone" in (done.error or "")


def test_a_finetune_that_is_deleted_before_its_image_is_begun_draws_nothing(
    tmp_path: Path,
) -> None:
    studio = Studio(tmp_path, ScriptedPainter())
    asked = studio.ask()
    deleted_model(studio.store, studio.finetune)
    with drawing_in(studio):
        done = studio.over(asked)

    assert done.status is GenerationStatus.FAILED
    assert done.error == "The finetune was deleted before the image was drawn."
    assert studio.painter.asked == []


@pytest.mark.parametrize("after", [(0.5, IMAGE), (InvalidValue("no adapter"),), (IMAGE,)])
def test_a_finetune_that_is_deleted_meanwhile_gives_no_image(
    tmp_path: Path, after: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "PROGRESS_S", 0.0)

    def delete() -> None:
        deleted_model(studio.store, studio.finetune)

    painter = ScriptedPainter([0.1, delete, *after])
    studio = Studio(tmp_path, painter)
    with drawing_in(studio):
        asked = studio.ask()
        done = studio.over(asked)
        wait_until(lambda: studio.left(asked) == ())

    assert done.status is GenerationStatus.FAILED
    assert done.error == "The finetune was deleted before the image was drawn."
    assert painter.n_ended == 1


def test_an_image_that_was_forgotten_is_not_drawn(tmp_path: Path) -> None:
    studio = Studio(tmp_path, ScriptedPainter())
    asked = studio.ask()
    del studio.store._state.image_generations[asked.id]
    with drawing_in(studio):
        wait_until(lambda: studio.waiting() == [])

    assert studio.painter.asked == []


def test_a_lease_is_renewed_while_the_painter_is_silent(tmp_path: Path) -> None:
    silent_s = 2.5 * LEASE_S
    painter = ScriptedPainter([lambda: time.sleep(silent_s), IMAGE])
    with drawing_in(Studio(tmp_path, painter)) as studio:
        asked = studio.ask()
        painter.until_asked()
        deadline = time.monotonic() + silent_s - 0.5
        while time.monotonic() < deadline:
            assert studio.store.take_errand("draw", LEASE_S) is None
            time.sleep(0.05)
        done = studio.over(asked)

    assert done.status is GenerationStatus.READY
    assert len(painter.asked) == 1


def test_who_lost_the_lease_drops_everything(tmp_path: Path) -> None:
    """Another has drawn it meanwhile; what it recorded stays."""

    def taken_over() -> None:
        [errand] = studio.waiting()
        state = studio.store._state
        state.errands[errand.id] = replace(state.errands[errand.id], lease_until_us=0)
        others = studio.store.take_errand("draw", 60)
        assert others is not None
        asked = studio.store.image_generation("ours", others.subject)
        studio.store.record_drawing(
            others, replace(asked, status=GenerationStatus.READY, finished_at=START)
        )

    painter = ScriptedPainter([0.1, taken_over, IMAGE], [IMAGE])
    with drawing_in(Studio(tmp_path, painter)) as studio:
        asked = studio.ask()
        done = studio.over(asked)
        wait_until(lambda: painter.n_ended == 1)
        after = studio.over(studio.ask())

    assert done.status is GenerationStatus.READY
    assert done.finished_at == START
    assert studio.now(asked) == done
    assert after.status is GenerationStatus.READY


def test_a_lease_that_cannot_be_renewed_ends_the_painting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forever = [step for _ in range(1000) for step in (0.5, lambda: time.sleep(0.01))]
    painter = ScriptedPainter(forever)
    studio = Studio(tmp_path, painter)

    def away(errand: Errand, lease_s: float) -> None:
        raise Unavailable("the database is away")

    monkeypatch.setattr(studio.store, "renew_errand", away)
    with drawing_in(studio):
        asked = studio.ask()
        wait_until(lambda: painter.n_ended == 1)
        monkeypatch.undo()
        done = studio.over(asked)

    assert done.status is GenerationStatus.READY
    assert painter.asked[0] == painter.asked[1]


def test_a_server_that_stops_gives_the_drawing_back_at_once(tmp_path: Path) -> None:
    painter = ScriptedPainter()
    painter._scripts = [[0.1, painter.silence]]
    studio = Studio(tmp_path, painter)
    studio.drawing.start()
    asked = studio.ask()
    wait_until(lambda: studio.now(asked).progress == 0.1)

    began = time.monotonic()
    studio.drawing.stop()

    assert time.monotonic() - began < 2
    assert painter.n_ended == 1
    assert studio.now(asked).status is GenerationStatus.PENDING
    errand = studio.store.take_errand("draw", 10)
    assert errand is not None
    assert errand.subject == asked.id


def test_a_server_that_stops_often_does_not_fail_the_drawing(tmp_path: Path) -> None:
    studio = Studio(tmp_path, ScriptedPainter())
    asked = studio.ask()
    for _ in range(5):
        painter = ScriptedPainter()
        painter._scripts = [[painter.silence]]
        studio.drawing = studio.successor(painter)
        with drawing_in(studio):
            painter.until_asked()

    studio.drawing = studio.successor(ScriptedPainter())
    with drawing_in(studio):
        assert studio.over(asked).status is GenerationStatus.READY


def test_an_image_that_is_done_as_the_server_stops_is_kept(tmp_path: Path) -> None:
    painter = ScriptedPainter()
    painter._scripts = [[0.1, painter.until_closed, IMAGE]]
    studio = Studio(tmp_path, painter)
    studio.drawing.start()
    asked = studio.ask()
    wait_until(lambda: studio.now(asked).progress == 0.1)

    studio.drawing.stop()

    assert studio.now(asked).status is GenerationStatus.READY


def test_what_a_killed_server_was_drawing_is_drawn_again(tmp_path: Path) -> None:
    studio = Studio(tmp_path, ScriptedPainter())
    asked = studio.ask()
    assert studio.store.take_errand("draw", 0.3) is not None
    studio.write(asked.image, b"half an im")

    with drawing_in(studio):
        done = studio.over(asked)

    assert done.status is GenerationStatus.READY
    assert b"".join(studio.blobs.read(done.image)) == b"an image"


def test_who_draws_is_woken_by_a_new_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "POLL_S", 60.0)
    with drawing_in(Studio(tmp_path, ScriptedPainter())) as studio:
        asked = studio.ask()
        studio.drawing.wake()
        assert studio.over(asked).status is GenerationStatus.READY


def test_images_are_drawn_one_after_the_other_and_each_in_its_turn(tmp_path: Path) -> None:
    with drawing_in(Studio(tmp_path, ScriptedPainter())) as studio:
        asked = [studio.ask() for _ in range(5)]
        for each in asked:
            assert studio.over(each).status is GenerationStatus.READY

    assert len(studio.painter.asked) == 5
