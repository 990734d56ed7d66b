"""Scripts for the scripted engine, and jobs to run them."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from tunery.core.access import ApiKey, Caller, digest
from tunery.core.errors import Unavailable
from tunery.core.events import NewEvent
from tunery.core.files import File, Format
from tunery.core.ids import new_id
from tunery.core.job import FineTuningJob, JobStatus
from tunery.core.lora import LoraConfig
from tunery.core.method import Supervised
from tunery.core.ports import Blobs, BuiltSet, KeyStore
from tunery.core.preflight import Preflight, TokenStatistics
from tunery.core.problems import Problem
from tunery.core.progress import (
    AnyProgress,
    CheckpointSaved,
    Evaluated,
    Finished,
    Metrics,
    Score,
)
from tunery.core.text_to_sql import SqlSource

CALLER = Caller(
    organization_id="org-default", project_id="default", user_id="user-default", key_id="key_1"
)


def report(*problems: Problem, n_examples: int = 20) -> Preflight:
    """What a preflight child says of a file with these problems."""
    return Preflight(
        format="chat",
        n_rows=n_examples,
        n_examples=n_examples,
        n_overlong=0,
        context=2048,
        tokens=TokenStatistics(
            total=100, trained=50, median=5, p95=9, max=10, histogram=((16, n_examples),)
        ),
        problems=problems,
        n_errors=sum(problem.level == "error" for problem in problems),
        n_warnings=sum(problem.level == "warning" for problem in problems),
    )


def metrics(step: int, total_steps: int = 3) -> Metrics:
    """One step, its loss falling."""
    return Metrics(
        step=step,
        total_steps=total_steps,
        train_loss=1 / step,
        train_mean_token_accuracy=1 - 1 / (step + 1),
        learning_rate=1e-3,
        trained_tokens=10 * step,
        tokens_per_second=100.0,
        remaining_s=float(total_steps - step),
    )


def whole_run(total_steps: int = 3) -> list[AnyProgress]:
    """Every step, a checkpoint at the last, and the end."""
    steps: list[AnyProgress] = [metrics(step, total_steps) for step in range(1, total_steps + 1)]
    last = metrics(total_steps, total_steps)
    saved = CheckpointSaved(step=total_steps, folder="runs/x/1/step-3", metrics=last)
    return [*steps, saved, Finished(adapter="runs/x/1/final", trained_tokens=10 * total_steps)]


def new_job() -> FineTuningJob:
    """A job as the service hands it to the store."""
    return FineTuningJob(
        id=new_id("ftjob-"),
        project_id=CALLER.project_id,
        organization_id=CALLER.organization_id,
        created_by=CALLER.user_id,
        created_at=datetime.now(UTC),
        status=JobStatus.VALIDATING_FILES,
        engine="scripted",
        base_model="tiny-chat",
        requested_model="tiny-chat",
        training_file="file-1",
        validation_file=None,
        method=Supervised(),
        lora=LoraConfig(),
        overlong="error",
        suffix=None,
        seed=7,
        metadata=None,
        echo={},
    )


def bootstrap(store: KeyStore) -> None:
    """Make the project that the jobs belong to."""
    key = ApiKey(
        id=CALLER.key_id,
        project_id=CALLER.project_id,
        user_id=CALLER.user_id,
        name="first key",
        digest=digest("secret"),
        hint="cret",
        created_at=datetime.now(UTC),
    )
    assert store.bootstrap(CALLER, key)


class ScriptedSets:
    """Training sets that are built, fail once, or take until they are no longer wanted."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self.failures: list[Exception] = []
        self.is_slow = False
        self.n_built = 0

    def build(self, job: FineTuningJob, *, wanted: Callable[[], bool]) -> BuiltSet:
        while self.is_slow:
            time.sleep(0.01)
            if not wanted():
                raise Unavailable("nobody waits")
        if self.failures:
            raise self.failures.pop()
        self.n_built += 1
        return BuiltSet(
            training=self._file(job, job.training_file),
            validation=self._file(job, job.validation_file) if job.validation_file else None,
            notes=(NewEvent(message="Training set built"),),
        )

    def _file(self, job: FineTuningJob, file_id: str) -> File:
        data = b'{"messages": []}\n'
        writer = self._blobs.writer(f"files/{file_id}")
        writer.write(data)
        writer.commit()
        return File(
            id=file_id,
            project_id=job.project_id,
            created_at=job.created_at,
            filename=f"{file_id}.jsonl",
            purpose="fine-tune",
            size_bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            format=Format.CHAT,
            n_rows=1,
        )


EVALUATED = Evaluated(
    base=Score(n=20, exact_match=0, execution_match=1),
    tuned=Score(n=20, exact_match=15, execution_match=18),
)


class ScriptedExaminer:
    """An exam that ends, fails, or takes until it is no longer wanted."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.is_slow = False
        self.adapters: list[str] = []

    def examine(
        self,
        job: FineTuningJob,
        adapter: str,
        *,
        wanted: Callable[[], bool],
        tell: Callable[[str], None],
    ) -> Evaluated | None:
        self.adapters.append(adapter)
        tell("10 of 20 questions answered")
        while self.is_slow:
            time.sleep(0.01)
            if not wanted():
                raise Unavailable("nobody waits")
        if self.failure is not None:
            raise self.failure
        return EVALUATED


def new_sql_job() -> FineTuningJob:
    """A job whose files are built from golden records."""
    source = SqlSource(db_connection_id="c" * 24, golden_records=("a" * 24, "b" * 24))
    return replace(
        new_job(),
        sql_source=source,
        training_file=new_id("file-"),
        validation_file=new_id("file-"),
    )
