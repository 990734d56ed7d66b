"""Image finetunes to keep."""

from dataclasses import replace

from tests.store.values import GOOD, a_job, an_id, claimed
from tunery.core.events import NewEvent
from tunery.core.job import FineTuningJob
from tunery.core.method import Subject
from tunery.core.ports import Run, Store
from tunery.core.progress import Finished


def a_finetune(project_id: str = "ours") -> FineTuningJob:
    return replace(a_job(project_id), base_model="tiny-image", method=Subject())


def tuning(store: Store, job: FineTuningJob | None = None) -> Run:
    """A run of a new finetune, or of `job`. No other may be waiting."""
    job = job or a_finetune()
    store.add_job(job, [NewEvent(message="Created")], None)
    store.validated(claimed(store).lease, GOOD)
    run = claimed(store)
    assert run.job.id == job.id
    return run


def finetuned(store: Store, job: FineTuningJob | None = None) -> FineTuningJob:
    """A finetune that can draw. No other job may be waiting."""
    run = tuning(store, job)
    store.apply(run.lease, [Finished(adapter=f"runs/{run.job.id}/1/{an_id('adapter')}")])
    return store.job(run.job.project_id, run.job.id)


def deleted_model(store: Store, job: FineTuningJob) -> None:
    """Delete what `job` has made."""
    store.delete_model(job.project_id, store.model_of(job.project_id, job.id).name)
