"""Jobs, their events and checkpoints."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from tunery.core.errors import NotFound
from tunery.core.events import Checkpoint, Event, NewEvent
from tunery.core.job import FineTuningJob, JobStatus
from tunery.core.method import Subject
from tunery.core.pages import NumberedItems, NumberedPage, Page, PageRequest
from tunery.core.ports import Idempotency
from tunery.core.progress import Metrics
from tunery.store import rules
from tunery.store.memory import changes
from tunery.store.memory.state import Answer, Part, numbered, page_of
from tunery.store.record import Record
from tunery.store.steps import step_of


class MemoryJobs(Part):
    """The `JobStore` port without its models."""

    def answered(self, project_id: str, idempotency: Idempotency) -> FineTuningJob | None:
        """The job as it was first answered for this key; None where it is new.

        Raises:
            Conflict: the key was used with another request within the last day.
        """
        with self._state.lock:
            answer = self._state.answers.get((project_id, idempotency.key))
            if answer is None or answer.at <= self._clock.now() - rules.ANSWERS_KEPT:
                return None
            rules.check_same_request(idempotency, answer.request_hash)
            return answer.job

    def add_job(
        self, job: FineTuningJob, events: Sequence[NewEvent], idempotency: Idempotency | None
    ) -> FineTuningJob:
        """Keep a new job; or give back the job as it was first answered for the same key (I7).

        Raises:
            Conflict: the key was used with another request within the last day.
        """
        with self._state.lock:
            now = self._clock.now()
            if idempotency is not None:
                if (answered := self.answered(job.project_id, idempotency)) is not None:
                    return answered
                answer = Answer(request_hash=idempotency.request_hash, at=now, job=job)
                self._state.answers[job.project_id, idempotency.key] = answer
            self._state.jobs[job.id] = Record(job=job, last_event=len(events))
            changes.add_events(self._state, job.id, events, now)
            for file in rules.reserved_files(job):
                self._state.files[file.id] = file
                self._state.deleted_files.add(file.id)
            return job

    def forget_old_answers(self) -> None:
        """Drop what was answered more than a day ago, in every project."""
        with self._state.lock:
            a_day_ago = self._clock.now() - rules.ANSWERS_KEPT
            for key, answer in list(self._state.answers.items()):
                if answer.at <= a_day_ago:
                    del self._state.answers[key]

    def job(self, project_id: str, job_id: str) -> FineTuningJob:
        """One job; NotFound where the project has none, or it is deleted."""
        with self._state.lock:
            return self._record(project_id, job_id).job

    def jobs(
        self,
        project_id: str,
        page: PageRequest,
        *,
        metadata: Mapping[str, str] | None,
        without_metadata: bool = False,
    ) -> Page[FineTuningJob]:
        """The project's jobs, newest first; those with every pair of `metadata`."""
        wanted = dict(metadata or {}).items()

        def shown(record: Record) -> bool:
            has = dict(record.job.metadata or {}).items()
            known = record.deleted_at_us is None
            return known and wanted <= has and not (without_metadata and has)

        with self._state.lock:
            ours = [each for each in self._state.jobs.values() if each.job.project_id == project_id]
        found = page_of(ours, page, name=lambda record: record.job.id, shown=shown)
        return Page(tuple(record.job for record in found.items), has_more=found.has_more)

    def numbered_jobs(self, project_id: str, page: NumberedPage) -> NumberedItems[FineTuningJob]:
        """The project's jobs, newest first, by the number of the page."""
        return numbered(self._known(project_id), page)

    def connected_jobs(
        self, project_id: str, db_connection_id: str | None
    ) -> Sequence[FineTuningJob]:
        """The project's jobs with a `sql_source`, of that connection or of any; newest first."""
        return [
            job
            for job in reversed(self._known(project_id))
            if (source := job.sql_source) is not None
            and db_connection_id in (None, source.db_connection_id)
        ]

    def subject_jobs(self, project_id: str) -> Sequence[FineTuningJob]:
        """The project's jobs that learn from pictures, newest first."""
        known = reversed(self._known(project_id))
        return [job for job in known if isinstance(job.method, Subject)]

    def set_echo(
        self, project_id: str, job_id: str, dialect: str, value: Mapping[str, object]
    ) -> FineTuningJob:
        """Replace what `dialect` must give back, whatever the job's state; NotFound as `job`."""
        with self._state.lock:
            before = self._record(project_id, job_id)
            job = replace(before.job, echo={**before.job.echo, dialect: value})
            self._state.jobs[job_id] = replace(before, job=job)
            return job

    def delete_job(self, project_id: str, job_id: str, event: NewEvent) -> None:
        """Make a job unknown at once; one that is not over is cancelled first, which `event` says.

        Raises:
            NotFound: the project has no such job.
        """
        with self._state.lock:
            before = self._record(project_id, job_id)
            listed = changes.kept(self._state, job_id)
            now = self._clock.now()
            change = rules.deleted(before, listed, event, now)
            changes.write(self._state, before, listed, change, now)

    def move_job(
        self, project_id: str, job_id: str, target: JobStatus, event: NewEvent
    ) -> FineTuningJob:
        """Cancel, pause or requeue a job with the event that says so.

        Raises:
            NotFound: the project has no such job.
            InvalidTransition: the job is in no state to make this move.
        """
        with self._state.lock:
            before = self._record(project_id, job_id)
            listed = changes.kept(self._state, job_id)
            now = self._clock.now()
            change = rules.move(before, listed, target, event, now)
            changes.write(self._state, before, listed, change, now)
            return change.record.job

    def events(self, project_id: str, job_id: str, page: PageRequest) -> Page[Event]:
        """A job's events, newest first unless `page` asks for ascending; NotFound as `job`."""
        with self._state.lock:
            self._record(project_id, job_id)
            return page_of(self._state.events[job_id], page, name=lambda event: event.id)

    def metrics(self, job_id: str) -> Iterator[Metrics]:
        """Every recorded step of a job, in order."""
        with self._state.lock:
            said = list(self._state.events.get(job_id, ()))
        for event in said:
            if event.type == "metrics" and event.data is not None:
                yield step_of(event.data)

    def checkpoints(self, project_id: str, job_id: str, page: PageRequest) -> Page[Checkpoint]:
        """A job's published checkpoints, newest first; NotFound as `job`."""
        with self._state.lock:
            self._record(project_id, job_id)
            published = [each for each in self._state.checkpoints.values() if each.job_id == job_id]
            return page_of(
                published,
                page,
                name=lambda each: each.id,
                shown=lambda each: each.id not in self._state.retired,
            )

    def _known(self, project_id: str) -> list[FineTuningJob]:
        """The project's jobs that are not deleted, in the order in which they came."""
        with self._state.lock:
            return [
                record.job
                for record in self._state.jobs.values()
                if record.job.project_id == project_id and record.deleted_at_us is None
            ]

    def _record(self, project_id: str, job_id: str) -> Record:
        record = self._state.jobs.get(job_id)
        if record is None or record.job.project_id != project_id:
            raise NotFound("job", job_id)
        if record.deleted_at_us is not None:
            raise NotFound("job", job_id)
        return record
