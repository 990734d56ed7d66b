"""Images that are asked for, looked at, and forgotten."""

import io
import os
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from PIL import Image

from tests.dialects.databases import HidingSealer
from tests.dialects.pictures import picture
from tests.store.finetunes import a_finetune, deleted_model, finetuned, tuning
from tests.store.values import OURS, START, THEIRS, MovableClock, first_key
from tunery.blobs.folder import FolderBlobs
from tunery.core.access import Caller
from tunery.core.errors import Conflict, InvalidValue, NotFound, TooMany
from tunery.core.events import NewEvent
from tunery.core.image_generations import GenerationStatus, ImageGeneration, ImageSettings
from tunery.core.method import Supervised
from tunery.core.ports import Idempotency
from tunery.pictures.reading import ArchiveReader
from tunery.service.image_generations import KEPT, MOST_PENDING, ImageGenerations, NewImage
from tunery.store.memory import MemoryStore

DAY_S = 24 * 60 * 60
SETTINGS = ImageSettings(
    prompt="a TOK on a table",
    strength=1.1,
    width=256,
    height=320,
    steps=20,
    guidance=2.5,
    seed=3,
    format="png",
)


class Place:
    """Where images are asked for; nobody draws them unless `draw` is called."""

    def __init__(self, folder: Path) -> None:
        self.clock = MovableClock()
        self.store = MemoryStore(self.clock)
        for caller in (OURS, THEIRS):
            self.store.add_project(caller, first_key(caller))
        self.blobs = FolderBlobs(folder)
        self.sealer = HidingSealer()
        self.n_wakes = 0
        self.generations = ImageGenerations(
            store=self.store,
            blobs=self.blobs,
            pictures=ArchiveReader(),
            sealer=self.sealer,
            clock=self.clock,
            check_host=self._check_host,
            wake=self._wake,
        )
        self.finetune = finetuned(self.store)

    def new(
        self,
        *,
        source: bytes | None = None,
        mask: bytes | None = None,
        webhook_url: str | None = None,
    ) -> NewImage:
        return NewImage(
            job_id=self.finetune.id,
            settings=SETTINGS,
            source=source,
            mask=mask,
            webhook_url=webhook_url,
            webhook_secret="hush",
            link_base="https://tunery.test",
        )

    def create(self, new: NewImage | None = None, *, caller: Caller = OURS) -> ImageGeneration:
        return self.generations.create(caller, new or self.new())

    def draw(self, generation: ImageGeneration) -> ImageGeneration:
        """Have the next one drawn, which must be that one."""
        self.write(generation.image)
        errand = self.store.take_errand("draw", 10)
        assert errand is not None
        ready = replace(generation, status=GenerationStatus.READY, finished_at=self.clock.now())
        self.store.record_drawing(errand, ready)
        return ready

    def write(self, key: str) -> None:
        writer = self.blobs.writer(key)
        writer.write(b"drawn")
        writer.commit()

    def _wake(self) -> None:
        self.n_wakes += 1

    def _check_host(self, host: str, port: int) -> None:
        if host == "inside.example":
            raise InvalidValue(f"{host!r} is not public.", code="host_not_allowed")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_an_image_that_is_asked_for_waits_to_be_drawn(place: Place) -> None:
    generation = place.create()

    assert generation.status is GenerationStatus.PENDING
    assert generation.settings == SETTINGS
    assert generation.created_at == START
    assert (generation.fills, generation.has_mask, generation.webhook) == (False, False, None)
    assert UUID(generation.id).version == 4
    assert place.generations.get(OURS, generation.id) == generation
    errand = place.store.take_errand("draw", 10)
    assert errand is not None
    assert (errand.project_id, errand.subject) == ("ours", generation.id)
    assert place.n_wakes == 1
    assert place.blobs.names("image-generations") == ()


def test_each_call_makes_another_image(place: Place) -> None:
    assert place.create().id != place.create().id


def test_another_project_finds_no_image_of_ours(place: Place) -> None:
    generation = place.create()

    with pytest.raises(NotFound):
        place.generations.get(THEIRS, generation.id)


def unknown(place: Place) -> str:
    return "ftjob-0123456789abcdef01234567"


def of_another_project(place: Place) -> str:
    return finetuned(place.store, a_finetune("theirs")).id


def still_training(place: Place) -> str:
    return tuning(place.store).job.id


def cancelled(place: Place) -> str:
    run = tuning(place.store)
    place.store.delete_job("ours", run.job.id, NewEvent(message="cancelled"))
    return run.job.id


def of_text(place: Place) -> str:
    return finetuned(place.store, replace(a_finetune(), method=Supervised())).id


def without_its_model(place: Place) -> str:
    deleted_model(place.store, place.finetune)
    return place.finetune.id


def deleted(place: Place) -> str:
    deleted_model(place.store, place.finetune)
    place.store.delete_job("ours", place.finetune.id, NewEvent(message="deleted"))
    return place.finetune.id


@pytest.mark.parametrize(
    "finetune",
    [
        unknown,
        of_another_project,
        still_training,
        cancelled,
        of_text,
        without_its_model,
        deleted,
    ],
)
def test_only_a_finetune_that_is_ready_can_be_asked(
    place: Place, finetune: Callable[[Place], str]
) -> None:
    job_id = finetune(place)

    with pytest.raises(NotFound) as refused:
        place.create(replace(place.new(), job_id=job_id))

    assert (refused.value.kind, refused.value.name) == ("finetune", job_id)
    assert place.store.take_errand("draw", 10) is None


def test_a_picture_to_fill_is_on_disk_and_gives_the_image_its_size(place: Place) -> None:
    generation = place.create(place.new(source=picture(96, 64), mask=picture(96, 64, mode="L")))

    assert (generation.fills, generation.has_mask) == (True, True)
    assert (generation.settings.width, generation.settings.height) == (96, 64)
    reader = ArchiveReader()
    for key in (generation.source, generation.mask):
        assert reader.size(b"".join(place.blobs.read(key))) == (96, 64)


def test_a_picture_may_be_filled_everywhere(place: Place) -> None:
    generation = place.create(place.new(source=picture()))

    assert (generation.fills, generation.has_mask) == (True, False)


def test_a_picture_without_a_mask_is_filled_where_it_is_transparent(place: Place) -> None:
    image = Image.new("RGBA", (3, 1), (255, 0, 0, 255))
    image.putpixel((1, 0), (255, 0, 0, 0))
    image.putpixel((2, 0), (255, 0, 0, 55))
    source = io.BytesIO()
    image.save(source, "PNG")

    generation = place.create(place.new(source=source.getvalue()))

    assert generation.has_mask
    with Image.open(place.blobs.path(generation.mask)) as mask:
        assert [mask.getpixel((x, 0)) for x in range(3)] == [0, 255, 200]


def test_where_there_is_a_mask_it_alone_says_what_is_filled(place: Place) -> None:
    source = io.BytesIO()
    Image.new("RGBA", (64, 64)).save(source, "PNG")

    generation = place.create(place.new(source=source.getvalue(), mask=picture(64, 64, mode="L")))

    read = place.generations._pictures.read_mask(picture(64, 64, mode="L"), param="mask")
    assert place.blobs.path(generation.mask).read_bytes() == read


@pytest.mark.parametrize(
    ("source", "mask", "param", "words"),
    [
        (b"no picture", None, "image", "image"),
        (picture(), b"no picture", "mask", "mask"),
        (picture(64, 64), picture(64, 96, mode="L"), "mask", "64 x 96 .* 64 x 64"),
    ],
)
def test_a_picture_that_cannot_be_used_is_refused_by_its_name(
    place: Place, source: bytes, mask: bytes | None, param: str, words: str
) -> None:
    with pytest.raises(InvalidValue, match=words) as refused:
        place.create(place.new(source=source, mask=mask))

    assert refused.value.param == param
    assert place.blobs.names("image-generations") == ()
    assert place.store.take_errand("draw", 10) is None


def test_who_is_to_be_told_is_kept_with_a_sealed_secret(place: Place) -> None:
    generation = place.create(place.new(webhook_url="https://there.example/told"))

    told = generation.webhook
    assert told is not None
    assert told.secret is not None
    assert (told.door, told.url, told.link_base) == (
        "bfl",
        "https://there.example/told",
        "https://tunery.test",
    )
    assert place.sealer.open(told.secret, bound_to=generation.id) == "hush"


@pytest.mark.parametrize(
    "url", ["https://inside.example/told", "ftp://there.example", "https://a:b@there.example"]
)
def test_a_webhook_that_may_not_be_told_is_refused(place: Place, url: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        place.create(place.new(webhook_url=url))

    assert refused.value.param == "webhook_url"


def test_as_many_images_wait_for_a_project_as_may_and_no_more(place: Place) -> None:
    waiting = [place.create() for _ in range(MOST_PENDING)]

    with pytest.raises(TooMany, match=re.escape(f"{MOST_PENDING} images are yet to be drawn")):
        place.create(place.new(source=picture()))
    assert place.blobs.names("image-generations") == ()

    place.finetune = finetuned(place.store, a_finetune("theirs"))
    place.create(caller=THEIRS)

    errand = place.store.take_errand("draw", 10)
    assert errand is not None
    place.store.record_drawing(errand, replace(waiting[0], status=GenerationStatus.FAILED))
    place.finetune = finetuned(place.store)
    place.create()


def test_the_same_call_with_the_same_key_is_drawn_once(place: Place) -> None:
    key = Idempotency(key="k", request_hash=b"a call")
    first = place.generations.create(OURS, place.new(), key)

    again = place.generations.create(OURS, place.new(), key)

    assert again == first
    assert UUID(first.id).version == 4
    assert place.store.n_pending_images("ours") == 1


def test_a_repeated_call_is_answered_whatever_became_of_its_finetune(place: Place) -> None:
    key = Idempotency(key="k", request_hash=b"a call")
    first = place.draw(place.generations.create(OURS, place.new(), key))
    deleted(place)

    assert place.generations.create(OURS, place.new(), key) == first


def test_a_key_is_refused_with_another_call_and_free_in_another_project(place: Place) -> None:
    place.generations.create(OURS, place.new(), Idempotency(key="k", request_hash=b"a call"))

    with pytest.raises(Conflict, match="'k'"):
        place.generations.create(OURS, place.new(), Idempotency(key="k", request_hash=b"other"))

    place.finetune = finetuned(place.store, a_finetune("theirs"))
    theirs = place.generations.create(
        THEIRS, place.new(), Idempotency(key="k", request_hash=b"other")
    )
    assert theirs.project_id == "theirs"


def test_of_two_calls_that_come_at_once_with_one_key_the_first_holds(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = place.store.add_image_generation

    def second(generation: ImageGeneration) -> None:
        add(replace(generation, request_hash=b"other"))
        add(generation)

    monkeypatch.setattr(place.store, "add_image_generation", second)
    with pytest.raises(Conflict):
        place.generations.create(OURS, place.new(), Idempotency(key="k", request_hash=b"a call"))

    assert place.store.n_pending_images("ours") == 1


def test_a_call_that_is_refused_for_its_key_leaves_the_pictures_of_the_first_alone(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    both, read = threading.Barrier(2), ArchiveReader.read_picture

    def at_once(reader: ArchiveReader, data: bytes, *, param: str) -> bytes:
        both.wait(20)
        return read(reader, data, param=param)

    monkeypatch.setattr(ArchiveReader, "read_picture", at_once)
    with ThreadPoolExecutor(2) as callers:
        asked = [
            callers.submit(
                place.generations.create,
                OURS,
                place.new(source=picture(width, 64)),
                Idempotency(key="k", request_hash=bytes([width])),
            )
            for width in (64, 96)
        ]
    (kept,) = [each.result() for each in asked if each.exception() is None]
    source = b"".join(place.blobs.read(kept.source))
    assert ArchiveReader().size(source) == (kept.settings.width, 64)


def test_an_image_can_be_opened_once_it_is_ready(place: Place) -> None:
    generation = place.create()
    with pytest.raises(NotFound):
        place.generations.image(generation.id)

    ready = place.draw(generation)

    found, path = place.generations.image(generation.id)
    assert found == ready
    assert path.read_bytes() == b"drawn"


def test_an_image_whose_bytes_are_gone_is_not_found(place: Place) -> None:
    generation = place.draw(place.create())
    place.blobs.delete(generation.image)

    with pytest.raises(NotFound):
        place.generations.image(generation.id)


def test_an_unknown_image_is_not_found(place: Place) -> None:
    with pytest.raises(NotFound):
        place.generations.image("../../secret.key")


def test_images_are_forgotten_after_a_week_with_their_bytes(place: Place) -> None:
    old = place.draw(place.create())
    place.clock.advance(DAY_S)
    young = place.draw(place.create())
    place.clock.advance(KEPT.total_seconds() - DAY_S / 2)

    place.generations.collect_garbage()

    with pytest.raises(NotFound):
        place.generations.get(OURS, old.id)
    assert place.generations.get(OURS, young.id) == young
    assert place.blobs.names("image-generations") == [young.id]


def test_more_old_images_go_than_the_store_finds_at_once(place: Place) -> None:
    for _ in range(205):
        place.draw(place.create())
    place.clock.advance(KEPT.total_seconds() + 1)

    place.generations.collect_garbage()

    assert place.blobs.names("image-generations") == []


def test_an_image_that_waits_is_kept_however_old_it_is(place: Place) -> None:
    waiting = place.create(place.new(source=picture()))
    os.utime(place.blobs.path(waiting.folder), (0, 0))
    place.clock.advance(10 * KEPT.total_seconds())

    place.generations.collect_garbage()

    assert place.generations.get(OURS, waiting.id) == waiting
    assert place.blobs.path(waiting.source).is_file()


def test_what_was_begun_and_never_kept_goes_once_it_is_old(place: Place) -> None:
    for name in ("old", "new"):
        place.write(f"image-generations/{name}/source.png")
    os.utime(place.blobs.path("image-generations/old"), (0, 0))

    place.generations.collect_garbage()

    assert place.blobs.names("image-generations") == ["new"]
