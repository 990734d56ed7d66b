"""A process that writes without a pause and says what was answered; made to be killed."""

import sys
from dataclasses import replace
from pathlib import Path

from tests.store.values import (
    GOOD,
    OURS,
    WEBHOOK,
    MovableClock,
    a_file,
    a_job,
    an_image,
    first_key,
    saved,
    steps,
)
from tunery.core.events import NewEvent
from tunery.core.ids import new_id
from tunery.core.image_generations import GenerationStatus
from tunery.core.job import JobStatus
from tunery.core.ports import Run, Store
from tunery.store import sqlite

FOREVER_S = 1e6


def main(path: Path, lives: int) -> None:
    """Each line on standard output names one thing whose write has returned."""
    clock = MovableClock()
    # What earlier lives held is free again.
    clock.advance(2 * FOREVER_S * lives)
    store = sqlite.open_store(path, clock)
    store.bootstrap(OURS, first_key(OURS))
    while True:
        write(store)


def write(store: Store) -> None:
    """A file, jobs, an image, and some reports on the job that is next."""
    file = replace(a_file(), id=new_id("file-"))
    store.add_file(file)
    say("file", file.id)
    job = replace(a_job(metadata={"a": "b"}), id=new_id("ftjob-"))
    store.add_job(job, [], None)
    say("job", job.id)
    run = store.claim("worker", FOREVER_S)
    if run is not None:
        report(store, run)
    end(store)
    draw(store)


def report(store: Store, run: Run) -> None:
    """Validate the job, or take some steps."""
    if run.job.resolved is None:
        store.validated(run.lease, GOOD)
        say("validated", run.job.id)
        return
    for step in range(run.job.last_step + 1, run.job.last_step + 6):
        store.apply(run.lease, [*steps(step, step), saved(step)])
        say("step", run.job.id, step)


def end(store: Store) -> None:
    """End a job that somebody is to be told of, and ask for an image of it."""
    job = replace(a_job(metadata={"a": "b"}, webhook=WEBHOOK), id=new_id("ftjob-"))
    store.add_job(job, [], None)
    store.move_job("ours", job.id, JobStatus.CANCELLED, NewEvent(message="cancelled"))
    say("ended", job.id)
    image = replace(an_image(job, webhook=WEBHOOK), id=new_id(""))
    store.add_image_generation(image)
    say("asked", image.id)


def draw(store: Store) -> None:
    """Draw the next image."""
    errand = store.take_errand("draw", FOREVER_S)
    assert errand is not None
    image = store.image_generation_of_link(errand.subject)
    store.record_drawing(errand, replace(image, progress=0.5))
    store.record_drawing(errand, replace(image, status=GenerationStatus.READY))
    say("drawn", image.id)


def say(*words: object) -> None:
    """One line, at once."""
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
