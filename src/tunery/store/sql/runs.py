"""The run protocol: claiming jobs, and recording what engines report."""

from collections.abc import Sequence
from dataclasses import replace

from tunery.core.events import Checkpoint, NewEvent
from tunery.core.files import File
from tunery.core.job import JobStatus
from tunery.core.ports import Lease, Run, Validated, Work
from tunery.core.progress import AnyProgress
from tunery.store import reports, rules
from tunery.store.record import Change, Record
from tunery.store.sql import changes, rows
from tunery.store.sql.database import Part, Row, Transaction
from tunery.store.statements import files as file_statements
from tunery.store.statements import runs as statements
from tunery.store.statements import upkeep
from tunery.store.times import seconds_in_us


class SqlRuns(Part):
    """The `RunStore` port."""

    def claim(self, owner: str, lease_s: float, waits_for: Work | None = None) -> Run | None:
        """Lease the next job that waits for that work (for any, where None)."""
        next_job = statements.NEXT_OF_ANY if waits_for is None else statements.NEXT[waits_for]

        def work(tx: Transaction) -> Run | None:
            now_us = tx.now_us()
            found = tx.one(next_job, {"now_us": now_us})
            if found is None:
                return None
            before = changes.locked(tx, found[0])
            return self._lease(tx, before, owner, now_us + seconds_in_us(lease_s))

        return self._database.write(work)

    def renew(self, lease: Lease, lease_s: float) -> JobStatus:
        """Hold the lease for `lease_s` more (database's clock); LeaseLost where it is gone."""

        def work(tx: Transaction) -> Row | None:
            return tx.one(
                statements.RENEW,
                {
                    "job_id": lease.job_id,
                    "held_token": lease.token,
                    "owner": lease.owner,
                    "until_us": tx.now_us() + seconds_in_us(lease_s),
                },
            )

        row = self._database.write(work)
        if row is None:
            raise rules.lease_lost(lease)
        return JobStatus(row[0])

    def validated(self, lease: Lease, outcome: Validated) -> None:
        """Queue a job whose files are good, and let go of it; LeaseLost where it is gone."""

        def work(tx: Transaction) -> None:
            before = changes.locked(tx, lease.job_id)
            change = rules.validated(before, lease, outcome)
            changes.write(tx, before, (), change, self._clock.now())

        self._database.write(work)

    def apply(self, lease: Lease, progress: Sequence[AnyProgress]) -> JobStatus:
        """Record what the engine reported, all of it or nothing, and say where the job stands.

        Raises:
            LeaseLost: the token is stale or the job is over.
        """

        def work(tx: Transaction) -> JobStatus:
            before = changes.locked(tx, lease.job_id)
            listed = changes.kept(tx, before.job)
            now = self._clock.now()
            change = reports.apply(before, listed, lease, progress, now)
            if change.record != before or change.events:
                changes.write(tx, before, listed, change, now)
            return change.record.job.status

        return self._database.write(work)

    def publish_training_files(self, lease: Lease, files: Sequence[File]) -> None:
        """Keep the files that a job with a `sql_source` has reserved; LeaseLost as `apply`."""

        def work(tx: Transaction) -> None:
            before = changes.locked(tx, lease.job_id)
            rules.check_held(before, lease)
            rules.check_reserved(before.job, files)
            for file in files:
                _publish(tx, file)

        self._database.write(work)

    def publish_result_file(self, lease: Lease, file: File) -> None:
        """Keep `file` as a result file of the job, before it finishes; LeaseLost as `apply`.

        One of the same name, of an attempt that ended before it had finished, is deleted.
        """

        def work(tx: Transaction) -> None:
            before = changes.locked(tx, lease.job_id)
            rules.check_held(before, lease)
            job = before.job
            replaced = self._named(tx, job.project_id, job.result_files, file.filename)
            for file_id in replaced:
                which = {"of_project": job.project_id, "file_id": file_id}
                tx.run(file_statements.DELETE_FILE, {**which, "now_us": self._now_us()})
            _publish(tx, file)
            others = tuple(each for each in job.result_files if each not in replaced)
            after = replace(before, job=replace(job, result_files=(*others, file.id)))
            changes.write(tx, before, (), Change(record=after, kept=()), self._clock.now())

        self._database.write(work)

    def publish_samples(self, lease: Lease, file: File, event: NewEvent) -> None:
        """Keep `file`, pictures that the trainer drew, and say so; LeaseLost as `apply`."""

        def work(tx: Transaction) -> None:
            before = changes.locked(tx, lease.job_id)
            rules.check_held(before, lease)
            which = {"project_id": file.project_id, "id": file.id}
            if tx.one(file_statements.FILE_SEQUENCE, which) is not None:
                return
            tx.run(file_statements.NEW_FILE, rows.file_values(file))
            change = Change(record=before, kept=(), events=(event,))
            changes.write(tx, before, (), change, self._clock.now())

        self._database.write(work)

    def retired_checkpoints(self, job_id: str) -> Sequence[Checkpoint]:
        """Checkpoints no longer listed whose folders are still on disk."""
        return rows.checkpoints(self._database.all(statements.RETIRED, {"job_id": job_id}))

    def forget_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Drop the row of a retired checkpoint; its folder is gone."""
        self._database.write(lambda tx: tx.run(upkeep.FORGET_CHECKPOINT, {"id": checkpoint.id}))

    def needed_folders(self, job_id: str) -> frozenset[str] | None:
        """The blob keys below `runs/<job>` that somebody may still ask for; None: not over."""

        def work(tx: Transaction) -> frozenset[str] | None:
            job = tx.one(upkeep.JOB_END, {"id": job_id})
            if job is not None and job[0] is None:
                return None
            which = {"job_id": job_id, "of_job": f"runs/{job_id}/%"}
            return frozenset(row[0] for row in tx.all(upkeep.NEEDED_FOLDERS, which))

        return self._database.write(work)

    def _lease(self, tx: Transaction, before: Record, owner: str, until_us: int) -> Run:
        listed = changes.kept(tx, before.job)
        now = self._clock.now()
        change = rules.claim(before, listed, owner=owner, until_us=until_us, now=now)
        changes.write(tx, before, listed, change, now)
        claimed = change.record
        return Run(
            job=claimed.job,
            lease=Lease(job_id=claimed.job.id, owner=owner, token=claimed.token),
            resume_from=listed[-1] if listed else None,
        )

    def _named(
        self, tx: Transaction, project_id: str, file_ids: Sequence[str], filename: str
    ) -> list[str]:
        now_us = self._now_us()
        found = []
        for file_id in file_ids:
            which = {"project_id": project_id, "id": file_id, "now_us": now_us}
            row = tx.one(file_statements.FILE, which)
            if row is not None and rows.file(row).filename == filename:
                found.append(file_id)
        return found


def _publish(tx: Transaction, file: File) -> None:
    """Keep `file`, in the place of one of its id; its own in lists is that of this moment."""
    tx.run(file_statements.FREE_PLACE, {"project_id": file.project_id, "id": file.id})
    tx.run(file_statements.NEW_FILE, rows.file_values(file))
