"""Image finetunes: jobs that learn from the pictures in an archive, and what they leave."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from tunery.core.access import Caller
from tunery.core.errors import InvalidTransition, NotFound
from tunery.core.events import Event
from tunery.core.files import File, Format
from tunery.core.ids import new_id
from tunery.core.job import FineTuningJob, NewJob
from tunery.core.lora import LoraConfig
from tunery.core.method import Subject
from tunery.core.pages import Page, PageRequest
from tunery.core.picture_sets import PictureSet
from tunery.core.ports import Blobs, Clock, FileStore, Idempotency, PictureReader
from tunery.service.files import Files
from tunery.service.intake import TRAINING
from tunery.service.jobs import Jobs
from tunery.service.models import Models
from tunery.service.webhooks import HostCheck, webhook

DOOR = "bfl"
"""Under this name a job keeps what its door must give back: the comment."""
_PAGE = 100
_LONGEST_NAME = 80


@dataclass(frozen=True, kw_only=True)
class NewFinetune:
    """What a caller asks for."""

    archive: bytes = field(repr=False)
    """A ZIP of pictures and captions, as it came."""
    method: Subject
    lora_rank: int
    comment: str
    webhook_url: str | None
    webhook_secret: str | None = field(repr=False)
    link_base: str
    """What links in the webhook begin with."""


class Finetunes:
    """The use cases that image finetunes have beside those of all jobs."""

    def __init__(
        self,
        *,
        jobs: Jobs,
        models: Models,
        files: Files,
        store: FileStore,
        blobs: Blobs,
        pictures: PictureReader,
        clock: Clock,
        check_host: HostCheck,
    ) -> None:
        """`pictures` reads archives; `check_host` says where webhooks may not go."""
        self._jobs = jobs
        self._models = models
        self._files = files
        self._store = store
        self._blobs = blobs
        self._pictures = pictures
        self._clock = clock
        self._check_host = check_host

    def create(
        self, caller: Caller, new: NewFinetune, idempotency: Idempotency | None = None
    ) -> FineTuningJob:
        """A job that learns from what the archive holds, which is kept as a file.

        Of more pictures than a finetune may have none is read; validation fails such a job.

        Raises:
            InvalidValue: the archive, the webhook or a parameter cannot be right.
            Unsupported: the engine cannot do it.
            Unavailable: as many archives as may be are being read.
            Conflict: the idempotency key came before with another request.
        """
        # Before anything is looked at: what it was made of may have gone since.
        if (answered := self._jobs.answered(caller, idempotency)) is not None:
            return answered
        told = webhook(
            new.webhook_url,
            new.webhook_secret,
            door=DOOR,
            link_base=new.link_base,
            check_host=self._check_host,
        )
        file = self._kept(caller, new.comment, self._pictures.read_set(new.archive))
        asked = NewJob(
            model=None,
            training_file=file.id,
            method=new.method,
            lora=LoraConfig(r=new.lora_rank, lora_alpha=new.lora_rank),
            echo={DOOR: {"finetune_comment": new.comment}},
            webhook=told,
        )
        try:
            job = self._jobs.create(caller, asked, idempotency)
        except BaseException:
            self._files.delete(caller, file.id)
            raise
        if job.training_file != file.id:
            # The same request came twice at once, and the other was first.
            self._files.delete(caller, file.id)
        return job

    def list(self, caller: Caller) -> Sequence[FineTuningJob]:
        """The project's image finetunes, newest first."""
        return self._jobs.of_subjects(caller)

    def get(self, caller: Caller, job_id: str) -> FineTuningJob:
        """One image finetune; NotFound where the project has none."""
        try:
            job = self._jobs.get(caller, job_id)
        except NotFound as unknown:
            raise NotFound("finetune", job_id) from unknown
        if not isinstance(job.method, Subject):
            raise NotFound("finetune", job_id)
        return job

    def delete(self, caller: Caller, job_id: str) -> None:
        """Make a finetune unknown at every door, with its tuned model and all its files.

        Whatever interrupts it, the same call finishes it: the job, by which the rest is found,
        goes last.

        Raises:
            NotFound: the project has no such image finetune.
        """
        if not self.get(caller, job_id).status.is_final:
            # Over by itself in the meantime: as good.
            with suppress(InvalidTransition):
                self._jobs.cancel(caller, job_id)
        job = self.get(caller, job_id)
        with suppress(NotFound):
            self._models.delete(caller, self._models.made_by(caller, job_id).name)
        for file_id in (job.training_file, *job.result_files, *self._samples(caller, job_id)):
            with suppress(NotFound):
                self._files.delete(caller, file_id)
        try:
            self._jobs.delete(caller, job_id)
        except NotFound as unknown:
            raise NotFound("finetune", job_id) from unknown

    def _samples(self, caller: Caller, job_id: str) -> Sequence[str]:
        """The files with pictures that were drawn while it learnt; its events tell of them."""
        events = _all(lambda page: self._jobs.events(caller, job_id, page))
        told = [event.data.get("file") for event in events if event.data is not None]
        return [file_id for file_id in told if isinstance(file_id, str)]

    def _kept(self, caller: Caller, comment: str, pictures: PictureSet) -> File:
        """The pictures as a file, durably."""
        file = File(
            id=new_id("file-"),
            project_id=caller.project_id,
            created_at=self._clock.now(),
            filename=_filename(comment),
            purpose=TRAINING,
            size_bytes=len(pictures.archive),
            sha256=hashlib.sha256(pictures.archive).hexdigest(),
            format=Format.PICTURES,
            n_rows=pictures.n_pictures,
            created_by=caller.user_id,
            created_by_type=caller.identity_type,
        )
        writer = self._blobs.writer(file.blob)
        try:
            writer.write(pictures.archive)
            writer.commit()
            self._store.add_file(file)
        except BaseException:
            writer.discard()
            self._blobs.delete(file.blob)
            raise
        return file


def _all(pages: Callable[[PageRequest], Page[Event]]) -> Iterator[Event]:
    """What is on all pages of a list."""
    after = None
    while True:
        page = pages(PageRequest(limit=_PAGE, after=after))
        yield from page.items
        if not page.has_more:
            return
        after = page.items[-1].id


def _filename(comment: str) -> str:
    """A name for the file that a list of files can show: the comment's words, if it has some."""
    words = "".join(letter if letter.isalnum() or letter in "-_" else " " for letter in comment)
    return f"{' '.join(words.split())[:_LONGEST_NAME].strip() or 'pictures'}.zip"
