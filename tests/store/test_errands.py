"""Images asked of tuned models, and the errands to draw them and to tell of them."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.store.conftest import Stage
from tests.store.values import START, WEBHOOK, added, an_image
from tunery.core.errands import Errand
from tunery.core.errors import InvalidValue, LeaseLost, NotFound
from tunery.core.image_generations import GenerationStatus, ImageGeneration, ImageSettings
from tunery.core.ports import Store
from tunery.core.webhooks import Notice, Webhook

LEASE_S = 30.0


def asked(
    store: Store, project_id: str = "ours", *, webhook: Webhook | None = None
) -> ImageGeneration:
    """A new image of a job's model, kept."""
    image = an_image(added(store, project_id), webhook=webhook)
    store.add_image_generation(image)
    return image


def taken(store: Store, lease_s: float = LEASE_S) -> Errand:
    """The next drawing."""
    errand = store.take_errand("draw", lease_s)
    assert errand is not None
    return errand


def ready(image: ImageGeneration) -> ImageGeneration:
    return replace(image, status=GenerationStatus.READY, progress=1.0, finished_at=START)


def drawn(store: Store, image: ImageGeneration) -> ImageGeneration:
    """`image`, ready. No other may be waiting."""
    store.add_image_generation(image)
    store.record_drawing(taken(store), ready(image))
    return ready(image)


def test_an_image_comes_back_as_it_was_asked_for(store: Store) -> None:
    image = ImageGeneration(
        id="3fa85f64-5717-4562-b3fc-2c963f66afa6",
        project_id="ours",
        job_id=added(store).id,
        settings=ImageSettings(
            prompt="a naïve ☃\0",
            strength=1,
            width=1440,
            height=256,
            steps=50,
            guidance=2.5,
            seed=2**63,
            format="webp",
        ),
        created_at=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        fills=True,
        has_mask=True,
        webhook=WEBHOOK,
        request_hash=bytes(range(256)),
        progress=0.25,
        error="none yet",
        started_at=START,
        finished_at=START + timedelta(seconds=1),
    )
    store.add_image_generation(image)
    assert store.image_generation("ours", image.id) == image
    assert store.image_generation_of_link(image.id) == image


def test_a_text_that_is_none_is_refused(store: Store) -> None:
    image = an_image(added(store))
    torn = replace(image, settings=replace(image.settings, prompt="\ud800"))
    with pytest.raises(InvalidValue, match="half of a character"):
        store.add_image_generation(torn)
    assert store.n_pending_images("ours") == 0
    assert store.take_errand("draw", LEASE_S) is None


def test_an_image_of_another_project_is_as_unknown_as_one_that_never_was(store: Store) -> None:
    image = asked(store)
    for project_id, image_id in (("theirs", image.id), ("ours", "none"), ("ours", "\ud800")):
        with pytest.raises(NotFound, match="image generation"):
            store.image_generation(project_id, image_id)
    with pytest.raises(NotFound):
        store.image_generation_of_link("none")


def test_an_image_that_is_asked_for_again_stays_and_is_drawn_once(store: Store) -> None:
    image = asked(store)
    store.add_image_generation(replace(image, progress=0.5))
    assert store.image_generation("ours", image.id) == image
    assert taken(store).subject == image.id
    assert store.take_errand("draw", LEASE_S) is None


def test_the_images_that_are_yet_to_be_drawn_are_counted_by_project(store: Store) -> None:
    asked(store, "theirs")
    images = [asked(store, "ours") for _ in range(3)]
    assert (store.n_pending_images("ours"), store.n_pending_images("theirs")) == (3, 1)
    [first] = [errand for _ in range(2) if (errand := taken(store)).project_id == "ours"]
    assert store.n_pending_images("ours") == 3
    store.record_drawing(first, ready(images[0]))
    assert (store.n_pending_images("ours"), store.n_pending_images("theirs")) == (2, 1)


def test_a_drawing_says_how_far_it_is_and_goes_on(store: Store) -> None:
    image = asked(store, webhook=WEBHOOK)
    errand = taken(store)
    halfway = replace(image, progress=0.5, started_at=START)
    store.record_drawing(errand, halfway)
    assert store.image_generation("ours", image.id) == halfway
    assert store.take_errand("tell", LEASE_S) is None
    store.renew_errand(errand, LEASE_S)
    assert store.n_pending_images("ours") == 1


@pytest.mark.parametrize("status", [GenerationStatus.READY, GenerationStatus.FAILED])
def test_an_image_that_is_over_is_told_of_and_drawn_no_more(
    stage: Stage, status: GenerationStatus
) -> None:
    store = stage.store
    image = asked(store, webhook=WEBHOOK)
    errand = taken(store)
    failed = status is GenerationStatus.FAILED
    error = "Out of memory." if failed else None
    store.record_drawing(errand, replace(image, status=status, error=error, finished_at=START))
    told = store.take_errand("tell", LEASE_S)
    assert told is not None
    assert told.notice == Notice(
        webhook=WEBHOOK,
        project_id="ours",
        subject=image.id,
        outcome="failed" if failed else "succeeded",
        happened_at=START,
        message=error,
    )
    assert (told.project_id, told.subject, told.n_attempts) == ("ours", image.id, 1)
    stage.advance(LEASE_S)
    assert store.take_errand("draw", LEASE_S) is None
    again = store.take_errand("tell", LEASE_S)
    assert again == replace(told, n_attempts=2)


def test_an_image_without_a_webhook_is_over_in_silence(store: Store) -> None:
    drawn(store, an_image(added(store)))
    assert store.take_errand("tell", LEASE_S) is None


def late_drawing(store: Store, errand: Errand) -> None:
    image = store.image_generation_of_link(errand.subject)
    store.record_drawing(errand, ready(image))


REPORTS: list[Callable[[Store, Errand], None]] = [
    late_drawing,
    lambda store, errand: store.renew_errand(errand, 1e6),
    lambda store, errand: store.put_off_errand(errand, 1e6),
    lambda store, errand: store.finish_errand(errand),
]


@pytest.mark.parametrize("report", REPORTS)
def test_one_that_lost_its_errand_changes_nothing(
    stage: Stage, report: Callable[[Store, Errand], None]
) -> None:
    store = stage.store
    image = asked(store, webhook=WEBHOOK)
    late = taken(store)
    stage.advance(LEASE_S + 1)
    held = taken(store)
    assert held == replace(late, n_attempts=2)
    with pytest.raises(LeaseLost, match=late.id):
        report(store, late)
    assert store.image_generation("ours", image.id) == image
    assert store.take_errand("tell", LEASE_S) is None
    stage.advance(LEASE_S + 1)
    assert taken(store) == replace(late, n_attempts=3)


@pytest.mark.parametrize("report", REPORTS)
def test_nobody_reports_on_an_errand_that_was_let_go_of(
    store: Store, report: Callable[[Store, Errand], None]
) -> None:
    asked(store)
    errand = taken(store)
    store.put_off_errand(errand, 0)
    with pytest.raises(LeaseLost):
        report(store, errand)
    again = taken(store)
    store.finish_errand(again)
    with pytest.raises(LeaseLost):
        report(store, again)
    assert store.n_pending_images("ours") == 1


def test_another_image_than_the_one_to_draw_is_refused(store: Store) -> None:
    first, second = asked(store), asked(store)
    errand = taken(store)
    assert errand.subject == first.id
    with pytest.raises(ValueError, match="not to draw"):
        store.record_drawing(errand, ready(second))
    assert store.image_generation("ours", second.id) == second


def test_an_errand_is_held_as_long_as_its_lease_is_renewed(stage: Stage) -> None:
    asked(stage.store)
    errand = taken(stage.store)
    for _ in range(3):
        stage.advance(LEASE_S - 5)
        assert stage.store.take_errand("draw", LEASE_S) is None
        stage.store.renew_errand(errand, LEASE_S)
    stage.advance(LEASE_S)
    assert taken(stage.store).id == errand.id


def test_an_errand_that_is_put_off_comes_back_when_it_is_due(stage: Stage) -> None:
    asked(stage.store)
    errand = taken(stage.store)
    stage.store.put_off_errand(errand, 600)
    stage.advance(595)
    assert stage.store.take_errand("draw", LEASE_S) is None
    stage.advance(5)
    assert taken(stage.store) == replace(errand, n_attempts=2)


def test_an_errand_that_is_finished_never_comes_back(stage: Stage) -> None:
    asked(stage.store)
    stage.store.finish_errand(taken(stage.store))
    stage.advance(1e6)
    assert stage.store.take_errand("draw", LEASE_S) is None


def test_the_errand_that_is_due_for_the_longest_comes_first(stage: Stage) -> None:
    first = asked(stage.store)
    put_off = taken(stage.store)
    stage.store.put_off_errand(put_off, 20)
    stage.advance(10)
    second = asked(stage.store)
    stage.advance(15)
    third = asked(stage.store)
    assert [taken(stage.store).subject for _ in range(3)] == [second.id, first.id, third.id]


def test_a_project_that_asks_for_much_leaves_room_for_the_others(stage: Stage) -> None:
    for _ in range(4):
        asked(stage.store, "ours")
    stage.advance(1)
    for _ in range(2):
        asked(stage.store, "theirs")
    turns = [taken(stage.store, 60).project_id for _ in range(6)]
    assert turns == ["ours", "theirs", "ours", "theirs", "ours", "ours"]


def test_leases_that_have_run_out_count_for_nobody(stage: Stage) -> None:
    for _ in range(3):
        asked(stage.store, "ours")
    asked(stage.store, "theirs")
    assert taken(stage.store, 10).project_id == "ours"
    stage.advance(11)
    # Both have none now; the oldest is the one that was lost.
    assert [taken(stage.store).n_attempts for _ in range(2)] == [2, 1]


def test_what_is_told_does_not_count_among_what_is_drawn(stage: Stage) -> None:
    for _ in range(2):
        drawn(stage.store, an_image(added(stage.store), webhook=WEBHOOK))
        assert stage.store.take_errand("tell", 60) is not None
    asked(stage.store, "ours")
    stage.advance(1)
    asked(stage.store, "theirs")
    assert taken(stage.store).project_id == "ours"


def test_images_that_are_over_can_be_forgotten_once_they_are_old(store: Store) -> None:
    job = added(store)
    ages = [3, 1, 2, 0]
    images = [
        drawn(store, replace(an_image(job), created_at=START - timedelta(hours=age)))
        for age in ages
    ]
    waiting = replace(an_image(job), created_at=START - timedelta(hours=9))
    store.add_image_generation(waiting)
    assert store.image_generations_before(START) == [images[0], images[2], images[1]]
    assert list(store.image_generations_before(START - timedelta(hours=3))) == []
    for image in (*images[:2], ready(waiting)):
        store.forget_image_generation(image)
    assert store.image_generations_before(START) == [images[2]]
    with pytest.raises(NotFound):
        store.image_generation("ours", images[0].id)
    assert store.image_generation("ours", waiting.id) == waiting


def test_a_hundred_images_are_found_to_be_forgotten_at_a_time(store: Store) -> None:
    job = added(store)
    for _ in range(101):
        drawn(store, an_image(job))
    later = START + timedelta(seconds=1)
    found = store.image_generations_before(later)
    assert len(found) == 100
    for image in found:
        store.forget_image_generation(image)
    assert len(store.image_generations_before(later)) == 1
