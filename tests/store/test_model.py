"""Any sequence of calls leaves a store as the reference model says (R5)."""

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from tests.store.conftest import SharedStore, Stage, memory_stage, postgres_stage, sqlite_stage
from tests.store.reference import OVER, P, Q, R, Reference, ReferenceJob, V
from tests.store.values import FINISHED, GOOD, WEBHOOK, added, saved, steps
from tunery.core.errors import InvalidTransition, LeaseLost, NotFound
from tunery.core.events import NewEvent
from tunery.core.job import JobStatus
from tunery.core.pages import NumberedPage, PageRequest
from tunery.core.ports import Lease
from tunery.core.progress import AnyProgress, Died, Failed, Paused

LEASE_S = 10.0
ALL = PageRequest(limit=10_000, ascending=True)
PICK = st.integers(min_value=0, max_value=1_000)
MANY = st.integers(min_value=1, max_value=4)
STEP = st.integers(min_value=1, max_value=12)
MakeStage = Callable[[ExitStack], Stage]


class StoreMachine(RuleBasedStateMachine):
    """Calls on a store, and on the reference beside it."""

    def __init__(self, make_stage: MakeStage) -> None:
        super().__init__()
        self.opened = ExitStack()
        self.stage = make_stage(self.opened)
        self.store = self.stage.store
        self.reference = Reference()
        self.old_leases: list[Lease] = []
        self.told: list[str] = []

    def teardown(self) -> None:
        self.opened.close()

    @rule(project=st.sampled_from(["ours", "theirs"]), many=MANY)
    def create(self, project: str, many: int) -> None:
        for _ in range(many):
            job = added(self.store, project, webhook=WEBHOOK)
            self.reference.jobs.append(ReferenceJob(id=job.id, project_id=project))

    @rule(seconds=st.sampled_from([1.0, 5.0, LEASE_S]))
    def time_passes(self, seconds: float) -> None:
        self.stage.advance(seconds)
        self.reference.now_s += seconds

    @rule(owner=st.sampled_from(["worker-1", "worker-2"]), many=MANY)
    def claim_some(self, owner: str, many: int) -> None:
        for _ in range(many):
            self._claim(owner)

    @rule(many=MANY)
    def validate_what_waits(self, many: int) -> None:
        for _ in range(many):
            self._claim("worker-1")
        for job, lease in self._held():
            if job.status is V:
                self._validate(job, lease)

    def _claim(self, owner: str) -> None:
        run = self.store.claim(owner, LEASE_S)
        expected = self.reference.next_claim()
        assert (run is None) == (expected is None)
        if run is None or expected is None:
            return
        assert run.job.id == expected.id
        assert run.lease == Lease(job_id=expected.id, owner=owner, token=expected.token + 1)
        resumed = run.resume_from.step if run.resume_from else None
        assert resumed == (expected.checkpoints[-1] if expected.checkpoints else None)
        if expected.holder is not None:
            self.old_leases.append(expected.holder)
        self.reference.claim(expected, run.lease, LEASE_S)

    @precondition(lambda self: self.reference.jobs)
    @rule(pick=PICK, to=st.sampled_from([JobStatus.CANCELLED, P, Q]))
    def move(self, pick: int, to: JobStatus) -> None:
        job = self.reference.jobs[pick % len(self.reference.jobs)]
        allowed = {JobStatus.CANCELLED: (V, Q, R, P), P: (Q, R), Q: (P,)}[to]
        event = NewEvent(message="as asked")
        if job.is_deleted:
            with pytest.raises(NotFound):
                self.store.move_job(job.project_id, job.id, to, event)
            return
        if job.status not in allowed:
            with pytest.raises(InvalidTransition):
                self.store.move_job(job.project_id, job.id, to, event)
            return
        assert self.store.move_job(job.project_id, job.id, to, event).status is to
        job.n_events += 1
        job.status = to
        if to in OVER:
            self._let_go_of(job)
            job.release(to)

    @precondition(lambda self: self.reference.jobs)
    @rule(pick=PICK)
    def delete(self, pick: int) -> None:
        job = self.reference.jobs[pick % len(self.reference.jobs)]
        event = NewEvent(message="cancelled first")
        if job.is_deleted:
            with pytest.raises(NotFound):
                self.store.delete_job(job.project_id, job.id, event)
            return
        self.store.delete_job(job.project_id, job.id, event)
        if job.status not in OVER:
            self._let_go_of(job)
        self.reference.delete(job)

    @precondition(lambda self: self._held())
    @rule(pick=PICK)
    def renew(self, pick: int) -> None:
        job, lease = self._one_held(pick)
        assert self.store.renew(lease, LEASE_S) is job.status
        job.until_s = self.reference.now_s + LEASE_S

    @precondition(lambda self: self._held())
    @rule(pick=PICK)
    def validate(self, pick: int) -> None:
        job, lease = self._one_held(pick)
        if job.status is not V:
            with pytest.raises(InvalidTransition):
                self.store.validated(lease, GOOD)
            return
        self._validate(job, lease)

    def _validate(self, job: ReferenceJob, lease: Lease) -> None:
        self.store.validated(lease, GOOD)
        job.n_events += 1
        job.deaths = 0
        self._let_go_of(job)
        job.release(Q)

    @precondition(lambda self: self._held(training=True))
    @rule(pick=PICK, step=STEP)
    def measure(self, pick: int, step: int) -> None:
        job, lease = self._one_held(pick, training=True)
        assert self.store.apply(lease, steps(step, step)) is job.status
        self.reference.measure(job, step)

    @precondition(lambda self: self._held(training=True))
    @rule(pick=PICK, ahead=st.integers(min_value=0, max_value=2), many=MANY)
    def save(self, pick: int, ahead: int, many: int) -> None:
        job, lease = self._one_held(pick, training=True)
        # A trainer goes on from its last checkpoint, never from before it.
        first = max([1, *job.checkpoints]) + ahead
        for step in range(first, first + many):
            assert self.store.apply(lease, [saved(step)]) is job.status
            self.reference.save(job, step)

    @precondition(lambda self: self._held())
    @rule(pick=PICK)
    def let_go(self, pick: int) -> None:
        job, lease = self._one_held(pick)
        self._let_go_of(job)
        self.reference.let_go(job)
        assert self.store.apply(lease, [Paused()]) is job.status

    @precondition(lambda self: self._held())
    @rule(pick=PICK, again=MANY)
    def die(self, pick: int, again: int) -> None:
        for _ in range(again):
            if not self._held():
                return
            job, lease = self._one_held(pick)
            self._let_go_of(job)
            self.reference.die(job)
            assert self.store.apply(lease, [Died(message="killed")]) is job.status
            self._claim("worker-2")

    @precondition(lambda self: self._held())
    @rule(pick=PICK)
    def fail(self, pick: int) -> None:
        job, lease = self._one_held(pick)
        self._let_go_of(job)
        job.n_events += 1
        job.release(JobStatus.FAILED)
        assert self.store.apply(lease, [Failed(code="nan", message="NaN")]) is job.status

    @precondition(lambda self: self._held(training=True))
    @rule(pick=PICK)
    def finish(self, pick: int) -> None:
        job, lease = self._one_held(pick, training=True)
        self._let_go_of(job)
        self.reference.finish(job)
        assert self.store.apply(lease, [FINISHED]) is job.status

    @precondition(lambda self: self.old_leases)
    @rule(pick=PICK, report=st.sampled_from([steps(1, 1), [saved(1)], [FINISHED], [Paused()]]))
    def a_zombie_wakes(self, pick: int, report: list[AnyProgress]) -> None:
        lease = self.old_leases[pick % len(self.old_leases)]
        with pytest.raises(LeaseLost):
            self.store.apply(lease, report)
        with pytest.raises(LeaseLost):
            self.store.renew(lease, LEASE_S)

    @rule(project=st.sampled_from(["ours", "theirs"]))
    def delete_newest_model(self, project: str) -> None:
        models = self.store.models(project)
        if not models:
            return
        self.store.delete_model(project, models[0].name)
        for job in self.reference.jobs:
            if job.id == models[0].job_id:
                job.checkpoints = []
                job.has_model = False
        with pytest.raises(NotFound):
            self.store.model(project, models[0].name)

    @invariant()
    def every_job_is_as_the_reference_says(self) -> None:
        for job in self._known():
            seen = self.store.job(job.project_id, job.id)
            assert seen.status is job.status
            assert (seen.finished_at is not None) == (job.status in OVER)
            assert job.status is R or seen.estimated_finish is None
            assert seen.last_step == max(job.steps, default=0)
            assert [each.step for each in self.store.metrics(job.id)] == job.steps

    @invariant()
    def events_are_gapless_and_checkpoints_right(self) -> None:
        for job in self._known():
            events = self.store.events(job.project_id, job.id, ALL).items
            assert [event.number for event in events] == list(range(1, job.n_events + 1))
            kept = self.store.checkpoints(job.project_id, job.id, ALL).items
            assert sorted(each.step for each in kept) == job.checkpoints

    @invariant()
    def deleted_jobs_are_unknown(self) -> None:
        for job in self.reference.jobs:
            if job.is_deleted:
                for read in (self.store.events, self.store.checkpoints):
                    with pytest.raises(NotFound):
                        read(job.project_id, job.id, ALL)
                with pytest.raises(NotFound):
                    self.store.job(job.project_id, job.id)

    @invariant()
    def what_can_be_called_stays_on_disk(self) -> None:
        for job in self.reference.jobs:
            folders = {f"runs/c/{step}" for step in job.checkpoints}
            if job.has_model:
                folders.add(FINISHED.adapter)
            needed = frozenset(folders) if job.status in OVER else None
            assert self.store.needed_folders(job.id) == needed

    @invariant()
    def every_end_is_told_once(self) -> None:
        while (errand := self.store.take_errand("tell", LEASE_S)) is not None:
            self.store.finish_errand(errand)
            self.told.append(errand.subject)
        assert sorted(self.told) == [job.id for job in self.reference.jobs if job.status in OVER]

    @invariant()
    def each_project_lists_its_own(self) -> None:
        for project in ("ours", "theirs"):
            listed = self.store.jobs(project, ALL, metadata=None).items
            mine = [job.id for job in self._known() if job.project_id == project]
            assert [job.id for job in listed] == mine
            numbered = self.store.numbered_jobs(project, NumberedPage(number=2, limit=2))
            assert [job.id for job in numbered.items] == mine[::-1][2:4]
            assert numbered.total == len(mine)

    def _known(self) -> list[ReferenceJob]:
        return [job for job in self.reference.jobs if not job.is_deleted]

    def _held(self, *, training: bool = False) -> list[tuple[ReferenceJob, Lease]]:
        return [
            (job, job.holder)
            for job in self.reference.jobs
            if job.holder is not None and not (training and job.status is V)
        ]

    def _one_held(self, pick: int, *, training: bool = False) -> tuple[ReferenceJob, Lease]:
        held = self._held(training=training)
        return held[pick % len(held)]

    def _let_go_of(self, job: ReferenceJob) -> None:
        if job.holder is not None:
            self.old_leases.append(job.holder)


def in_memory(opened: ExitStack) -> Stage:
    return memory_stage()


def in_sqlite(opened: ExitStack) -> Stage:
    folder = opened.enter_context(tempfile.TemporaryDirectory())
    return opened.enter_context(sqlite_stage(Path(folder)))


def check(make_stage: MakeStage, *, examples: int, calls: int) -> None:
    class Machine(StoreMachine):
        def __init__(self) -> None:
            super().__init__(make_stage)

    run_machine(
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=calls,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_memory_does_as_the_reference_says() -> None:
    check(in_memory, examples=150, calls=40)


def test_sqlite_does_as_the_reference_says() -> None:
    check(in_sqlite, examples=25, calls=30)


def test_postgres_does_as_the_reference_says(shared_store: SharedStore) -> None:
    check(lambda _: postgres_stage(shared_store), examples=15, calls=30)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_memory_does_as_the_reference_says_for_long() -> None:
    check(in_memory, examples=2_000, calls=60)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_sqlite_does_as_the_reference_says_for_long() -> None:
    check(in_sqlite, examples=500, calls=50)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_postgres_does_as_the_reference_says_for_long(shared_store: SharedStore) -> None:
    check(lambda _: postgres_stage(shared_store), examples=500, calls=50)
