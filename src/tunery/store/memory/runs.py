"""The run protocol: claiming jobs, and recording what engines report."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from tunery.core.errors import LeaseLost
from tunery.core.events import Checkpoint, NewEvent
from tunery.core.files import File
from tunery.core.job import WAITING_FOR, JobStatus
from tunery.core.ports import Lease, Run, Validated, Work
from tunery.core.progress import AnyProgress
from tunery.store import reports, rules
from tunery.store.memory import changes
from tunery.store.memory.state import Part
from tunery.store.record import Change, Record
from tunery.store.times import to_us


class MemoryRuns(Part):
    """The `RunStore` port."""

    def claim(self, owner: str, lease_s: float, waits_for: Work | None = None) -> Run | None:
        """Lease the next job that waits for that work (for any, where None)."""
        kinds = WAITING_FOR if waits_for is None else [waits_for]
        with self._state.lock:
            before = self._next(frozenset().union(*(WAITING_FOR[kind] for kind in kinds)))
            if before is None:
                return None
            listed = changes.kept(self._state, before.job.id)
            now = self._clock.now()
            until_us = to_us(now + timedelta(seconds=lease_s))
            change = rules.claim(before, listed, owner=owner, until_us=until_us, now=now)
            changes.write(self._state, before, listed, change, now)
            claimed = change.record
            return Run(
                job=claimed.job,
                lease=Lease(job_id=claimed.job.id, owner=owner, token=claimed.token),
                resume_from=listed[-1] if listed else None,
            )

    def renew(self, lease: Lease, lease_s: float) -> JobStatus:
        """Hold the lease for `lease_s` more; LeaseLost where it is gone."""
        with self._state.lock:
            before = self._held(lease)
            until_us = to_us(self._clock.now() + timedelta(seconds=lease_s))
            self._state.jobs[lease.job_id] = replace(before, lease_until_us=until_us)
            return before.job.status

    def validated(self, lease: Lease, outcome: Validated) -> None:
        """Queue a job whose files are good, and let go of it; LeaseLost where it is gone."""
        with self._state.lock:
            before = self._held(lease)
            change = rules.validated(before, lease, outcome)
            changes.write(self._state, before, (), change, self._clock.now())

    def apply(self, lease: Lease, progress: Sequence[AnyProgress]) -> JobStatus:
        """Record what the engine reported, all of it or nothing, and say where the job stands.

        Raises:
            LeaseLost: the token is stale or the job is over.
        """
        with self._state.lock:
            before = self._held(lease)
            listed = changes.kept(self._state, lease.job_id)
            now = self._clock.now()
            change = reports.apply(before, listed, lease, progress, now)
            changes.write(self._state, before, listed, change, now)
            return change.record.job.status

    def publish_training_files(self, lease: Lease, files: Sequence[File]) -> None:
        """Keep the files that a job with a `sql_source` has reserved; LeaseLost as `apply`."""
        with self._state.lock:
            rules.check_reserved(self._held(lease).job, files)
            for file in files:
                self._publish(file)

    def publish_result_file(self, lease: Lease, file: File) -> None:
        """Keep `file` as a result file of the job, before it finishes; LeaseLost as `apply`.

        One of the same name, of an attempt that ended before it had finished, is deleted.
        """
        with self._state.lock:
            before = self._held(lease)
            results = [self._state.files.get(each) for each in before.job.result_files]
            replaced = {each.id for each in results if each and each.filename == file.filename}
            others = tuple(each for each in before.job.result_files if each not in replaced)
            job = replace(before.job, result_files=(*others, file.id))
            self._state.deleted_files |= replaced
            self._publish(file)
            change = Change(record=replace(before, job=job), kept=())
            changes.write(self._state, before, (), change, self._clock.now())

    def publish_samples(self, lease: Lease, file: File, event: NewEvent) -> None:
        """Keep `file`, pictures that the trainer drew, and say so; LeaseLost as `apply`."""
        with self._state.lock:
            before = self._held(lease)
            if file.id in self._state.files:
                return
            self._publish(file)
            change = Change(record=before, kept=(), events=(event,))
            changes.write(self._state, before, (), change, self._clock.now())

    def retired_checkpoints(self, job_id: str) -> Sequence[Checkpoint]:
        """Checkpoints no longer listed whose folders are still on disk."""
        with self._state.lock:
            every = self._state.checkpoints.values()
            return [
                each for each in every if each.job_id == job_id and each.id in self._state.retired
            ]

    def forget_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Drop the row of a retired checkpoint; its folder is gone."""
        with self._state.lock:
            if checkpoint.id in self._state.retired:
                del self._state.checkpoints[checkpoint.id]
                self._state.retired.remove(checkpoint.id)

    def needed_folders(self, job_id: str) -> frozenset[str] | None:
        """The blob keys below `runs/<job>` that somebody may still ask for; None: not over."""
        with self._state.lock:
            record = self._state.jobs.get(job_id)
            if record is not None and not record.job.status.is_final:
                return None
            unfinished = [r.job for r in self._state.jobs.values() if not r.job.status.is_final]
            started_from = [job.initial_adapter for job in unfinished if job.initial_adapter]
            return frozenset(
                [each.folder for each in changes.kept(self._state, job_id)]
                + [model.adapter for model in self._state.models if model.job_id == job_id]
                + [key for key in started_from if key.startswith(f"runs/{job_id}/")]
            )

    def _publish(self, file: File) -> None:
        """Keep `file`, in the place of one of its id; its own in lists is that of this moment."""
        self._state.files.pop(file.id, None)
        self._state.files[file.id] = file
        self._state.deleted_files.discard(file.id)

    def _next(self, statuses: frozenset[JobStatus]) -> Record | None:
        """The job to lease: of the project with the least held, then the oldest (I10)."""
        now_us = to_us(self._clock.now())
        held: Counter[str] = Counter()
        waiting = []
        for record in self._state.jobs.values():
            job = record.job
            if not job.status.is_final and (record.lease_until_us or 0) > now_us:
                held[job.project_id] += 1
            elif job.status in statuses:
                waiting.append(record)
        # `min` gives the first of several, and they are in the order they came.
        return min(waiting, key=lambda each: held[each.job.project_id], default=None)

    def _held(self, lease: Lease) -> Record:
        record = self._state.jobs.get(lease.job_id)
        if record is None:
            raise LeaseLost(f"There is no job {lease.job_id} to report on.")
        rules.check_held(record, lease)
        return record
