"""Jobs, their events and checkpoints."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from tunery.core.errors import NotFound
from tunery.core.events import Checkpoint, Event, NewEvent, event_number
from tunery.core.job import FineTuningJob, JobStatus
from tunery.core.pages import NumberedItems, NumberedPage, Page, PageRequest
from tunery.core.ports import Idempotency
from tunery.core.progress import Metrics
from tunery.store import rules
from tunery.store.record import Record
from tunery.store.sql import changes, job_rows, rows
from tunery.store.sql.database import Part, Transaction
from tunery.store.sql.pages import read_numbered, read_page
from tunery.store.statements import files, runs, upkeep
from tunery.store.statements import jobs as statements
from tunery.store.times import to_us

STEPS_AT_ONCE = 1000
"""As many steps are read at a time, so that no read lasts long."""


class SqlJobs(Part):
    """The `JobStore` port without its models."""

    def answered(self, project_id: str, idempotency: Idempotency) -> FineTuningJob | None:
        """The job as it was first answered for this key; None where it is new.

        Raises:
            Conflict: the key was used with another request within the last day.
        """
        return self._database.write(lambda tx: self._answered(tx, project_id, idempotency))

    def add_job(
        self, job: FineTuningJob, events: Sequence[NewEvent], idempotency: Idempotency | None
    ) -> FineTuningJob:
        """Keep a new job; or give back the job as it was first answered for the same key (I7).

        Raises:
            Conflict: the key was used with another request within the last day.
        """

        def work(tx: Transaction) -> FineTuningJob:
            if idempotency is not None:
                answered = self._answered(tx, job.project_id, idempotency)
                if answered is not None:
                    return answered
                self._keep_answer(tx, job, idempotency)
            self._add(tx, job, events)
            return job

        return self._database.write(work)

    def forget_old_answers(self) -> None:
        """Drop what was answered more than a day ago, in every project."""
        which = {"a_day_ago_us": to_us(self._clock.now() - rules.ANSWERS_KEPT)}
        self._database.write(lambda tx: tx.run(upkeep.FORGET_OLD_ANSWERS, which))

    def job(self, project_id: str, job_id: str) -> FineTuningJob:
        """One job; NotFound where the project has none, or it is deleted. A point read."""
        row = self._database.one(statements.JOB, {"project_id": project_id, "id": job_id})
        if row is None:
            raise NotFound("job", job_id)
        return job_rows.job(row)

    def jobs(
        self,
        project_id: str,
        page: PageRequest,
        *,
        metadata: Mapping[str, str] | None,
        without_metadata: bool = False,
    ) -> Page[FineTuningJob]:
        """The project's jobs, newest first; those with every pair of `metadata`."""
        after = None
        if page.after is not None:
            wanted = {"project_id": project_id, "id": page.after}
            behind = self._database.one(statements.JOB_SEQUENCE, wanted)
            if behind is None:
                return Page(())
            after = behind[0]
        pairs = list(job_rows.pairs(metadata or {}))
        query = statements.listed_jobs(
            n_pairs=len(pairs), bare=without_metadata, ascending=page.ascending
        )
        parameters: dict[str, object] = {"project_id": project_id}
        parameters |= {f"pair_{place}": pair for place, pair in enumerate(pairs)}
        return read_page(self._database, query, parameters, page, after=after, item=job_rows.job)

    def numbered_jobs(self, project_id: str, page: NumberedPage) -> NumberedItems[FineTuningJob]:
        """The project's jobs, newest first, by the number of the page."""
        query, count = statements.NUMBERED_JOBS, statements.COUNT_JOBS
        which = {"project_id": project_id}
        return read_numbered(self._database, query, count, which, page, item=job_rows.job)

    def connected_jobs(
        self, project_id: str, db_connection_id: str | None
    ) -> Sequence[FineTuningJob]:
        """The project's jobs with a `sql_source`, of that connection or of any; newest first."""
        query = statements.CONNECTED_JOBS[db_connection_id is not None]
        which = {"project_id": project_id}
        if db_connection_id is not None:
            which["db_connection_id"] = db_connection_id
        return [job_rows.job(row) for row in self._database.all(query, which)]

    def subject_jobs(self, project_id: str) -> Sequence[FineTuningJob]:
        """The project's jobs that learn from pictures, newest first."""
        rows_found = self._database.all(statements.SUBJECT_JOBS, {"project_id": project_id})
        return [job_rows.job(row) for row in rows_found]

    def set_echo(
        self, project_id: str, job_id: str, dialect: str, value: Mapping[str, object]
    ) -> FineTuningJob:
        """Replace what `dialect` must give back, whatever the job's state; NotFound as `job`."""

        def work(tx: Transaction) -> FineTuningJob:
            job = _locked(tx, project_id, job_id).job
            job = replace(job, echo={**job.echo, dialect: value})
            which = {"of_project": project_id, "job_id": job_id}
            tx.run(statements.SET_ECHO, {**which, "echo": rows.to_json(job.echo)})
            return job

        return self._database.write(work)

    def delete_job(self, project_id: str, job_id: str, event: NewEvent) -> None:
        """Make a job unknown at once; one that is not over is cancelled first, which `event` says.

        Raises:
            NotFound: the project has no such job.
        """

        def work(tx: Transaction) -> None:
            before = _locked(tx, project_id, job_id)
            listed = changes.kept(tx, before.job)
            now = self._clock.now()
            change = rules.deleted(before, listed, event, now)
            changes.write(tx, before, listed, change, now)

        self._database.write(work)

    def move_job(
        self, project_id: str, job_id: str, target: JobStatus, event: NewEvent
    ) -> FineTuningJob:
        """Cancel, pause or requeue a job, durably, with the event that says so.

        Raises:
            NotFound: the project has no such job.
            InvalidTransition: the job is in no state to make this move.
        """

        def work(tx: Transaction) -> FineTuningJob:
            before = _locked(tx, project_id, job_id)
            listed = changes.kept(tx, before.job)
            now = self._clock.now()
            change = rules.move(before, listed, target, event, now)
            changes.write(tx, before, listed, change, now)
            return change.record.job

        return self._database.write(work)

    def events(self, project_id: str, job_id: str, page: PageRequest) -> Page[Event]:
        """A job's events, newest first unless `page` asks for ascending; NotFound as `job`."""
        row = self._database.one(statements.LAST_EVENT, {"project_id": project_id, "id": job_id})
        if row is None:
            raise NotFound("job", job_id)
        after = None
        if page.after is not None:
            after = event_number(job_id, page.after)
            if after is None or not 1 <= after <= row[0]:
                return Page(())
        which = {"project_id": project_id, "job_id": job_id}
        query = statements.EVENTS[page.ascending]
        return read_page(self._database, query, which, page, after=after, item=rows.event)

    def metrics(self, job_id: str) -> Iterator[Metrics]:
        """Every recorded step of a job, in order."""
        after = 0
        while True:
            which = {"job_id": job_id, "after": after, "count": STEPS_AT_ONCE}
            found = self._database.all(runs.STEPS, which)
            for number, data in found:
                after = number
                yield rows.step(data)
            if len(found) < STEPS_AT_ONCE:
                return

    def checkpoints(self, project_id: str, job_id: str, page: PageRequest) -> Page[Checkpoint]:
        """A job's published checkpoints, newest first; NotFound as `job`."""
        if (
            self._database.one(statements.LAST_EVENT, {"project_id": project_id, "id": job_id})
            is None
        ):
            raise NotFound("job", job_id)
        which = {"project_id": project_id, "job_id": job_id}
        after = None
        if page.after is not None:
            behind = self._database.one(statements.CHECKPOINT_SEQUENCE, {**which, "id": page.after})
            if behind is None:
                return Page(())
            after = behind[0]
        query = statements.CHECKPOINTS[page.ascending]
        return read_page(self._database, query, which, page, after=after, item=rows.checkpoint)

    def _add(self, tx: Transaction, job: FineTuningJob, events: Sequence[NewEvent]) -> None:
        values = job_rows.new_values(job) | {"last_event": len(events)}
        row = tx.one(statements.NEW_JOB, values)
        assert row is not None  # an INSERT that returns nothing has raised
        project = {"project_id": job.project_id, "job_sequence": row[0]}
        pairs = job_rows.pairs(job.metadata or {})
        tx.run_many(statements.NEW_PAIR, [{**project, "pair": pair} for pair in pairs])
        changes.add_events(tx, job, 0, events, self._clock.now())
        for file in rules.reserved_files(job):
            tx.run(files.RESERVE_FILE, rows.file_values(file) | {"deleted_at_us": self._now_us()})

    def _answered(
        self, tx: Transaction, project_id: str, idempotency: Idempotency
    ) -> FineTuningJob | None:
        tx.one(statements.LOCK_PROJECT, {"project_id": project_id})
        which = {"project_id": project_id, "key": idempotency.key}
        a_day_ago = self._clock.now() - rules.ANSWERS_KEPT
        tx.run(statements.FORGET_ANSWER, {**which, "a_day_ago_us": to_us(a_day_ago)})
        row = tx.one(statements.ANSWER, which)
        if row is None:
            return None
        rules.check_same_request(idempotency, bytes(row[0]))
        return job_rows.from_snapshot(row[1])

    def _keep_answer(self, tx: Transaction, job: FineTuningJob, idempotency: Idempotency) -> None:
        tx.run(
            statements.NEW_ANSWER,
            {
                "project_id": job.project_id,
                "key": idempotency.key,
                "request_hash": idempotency.request_hash,
                "created_at_us": self._now_us(),
                "job": job_rows.snapshot(job),
            },
        )


def _locked(tx: Transaction, project_id: str, job_id: str) -> Record:
    """The job that a caller names, locked until the transaction ends.

    Raises:
        NotFound: the project has none, or it is deleted.
    """
    row = tx.one(statements.LOCK_JOB, {"project_id": project_id, "id": job_id})
    if row is None:
        raise NotFound("job", job_id)
    return job_rows.record(row)
