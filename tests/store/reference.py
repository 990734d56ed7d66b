"""A small model of what a store may do with jobs, written apart from the stores' own rules."""

from dataclasses import dataclass, field

from tunery.core.job import JobStatus
from tunery.core.ports import Lease

V, Q, R, P = (
    JobStatus.VALIDATING_FILES,
    JobStatus.QUEUED,
    JobStatus.RUNNING,
    JobStatus.PAUSED,
)
OVER = (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED)


@dataclass
class ReferenceJob:
    """What is known of a job."""

    id: str
    project_id: str
    status: JobStatus = V
    token: int = 0
    holder: Lease | None = None
    until_s: float = 0.0
    steps: list[int] = field(default_factory=list)
    checkpoints: list[int] = field(default_factory=list)
    """Listed ones; none has a validation loss, so they are the last three."""
    deaths: int = 0
    n_events: int = 1
    has_model: bool = False
    is_deleted: bool = False

    def is_live(self, now_s: float) -> bool:
        """Whether a worker holds it."""
        return self.holder is not None and self.until_s > now_s

    def release(self, status: JobStatus) -> None:
        """It is nobody's, in this state."""
        self.holder = None
        self.status = status


class Reference:
    """Every job, and the time."""

    def __init__(self) -> None:
        self.jobs: list[ReferenceJob] = []
        self.now_s = 0.0

    def next_claim(self) -> ReferenceJob | None:
        """The job that a claim must give: the least running project's, then the oldest."""
        waiting = [
            job for job in self.jobs if job.status in (V, Q, R) and not job.is_live(self.now_s)
        ]
        return min(waiting, key=self._running_beside, default=None)

    def _running_beside(self, job: ReferenceJob) -> int:
        unfinished = [each for each in self.jobs if each.status not in OVER]
        live = [each for each in unfinished if each.is_live(self.now_s)]
        return sum(each.project_id == job.project_id for each in live)

    def claim(self, job: ReferenceJob, lease: Lease, lease_s: float) -> None:
        """`job` was given out."""
        was_held = job.holder is not None
        job.n_events += 1 if was_held or job.status is not V else 0
        job.status = V if job.status is V else R
        job.token += 1
        job.holder = lease
        job.until_s = self.now_s + lease_s

    def measure(self, job: ReferenceJob, step: int) -> None:
        """A step was reported."""
        if step > max(job.steps, default=0):
            job.steps.append(step)
            job.n_events += 1

    def save(self, job: ReferenceJob, step: int) -> None:
        """A checkpoint was reported."""
        if step > max(job.checkpoints, default=0):
            job.deaths = 0
        job.checkpoints = sorted({*job.checkpoints, step})[-3:]
        job.n_events += 1

    def let_go(self, job: ReferenceJob) -> None:
        """Its worker gave it back."""
        job.n_events += 1 if job.status is R else 0
        job.release(Q if job.status is R else job.status)

    def die(self, job: ReferenceJob) -> None:
        """Its trainer died."""
        job.deaths += 1
        job.n_events += 1
        fails = job.deaths > 3
        job.release(JobStatus.FAILED if fails else Q if job.status is R else job.status)

    def finish(self, job: ReferenceJob) -> None:
        """Its trainer was done."""
        if job.status is R:
            job.n_events += 2
            job.has_model = True
            job.release(JobStatus.SUCCEEDED)
        else:
            self.let_go(job)

    def delete(self, job: ReferenceJob) -> None:
        """Its owner has deleted it."""
        if job.status not in OVER:
            job.n_events += 1
            job.release(JobStatus.CANCELLED)
        if not job.has_model:
            job.checkpoints = []
        job.is_deleted = True
