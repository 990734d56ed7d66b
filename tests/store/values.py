"""Values to keep: made short, each one different from the others."""

import itertools
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from tunery.core.access import ApiKey, Caller, digest
from tunery.core.events import NewEvent
from tunery.core.files import File, Upload, UploadPart
from tunery.core.hyperparameters import ResolvedHyperparameters
from tunery.core.image_generations import ImageGeneration, ImageSettings
from tunery.core.job import FineTuningJob, JobStatus
from tunery.core.lora import LoraConfig
from tunery.core.method import Supervised
from tunery.core.ports import Lease, Run, Store, Validated
from tunery.core.progress import CheckpointSaved, Finished, Metrics
from tunery.core.webhooks import Webhook

START = datetime(2026, 9, 21, 12, 0, 0, 250_000, tzinfo=UTC)
OURS = Caller(organization_id="org-a", project_id="ours", user_id="user-a", key_id="key_ours")
THEIRS = Caller(organization_id="org-a", project_id="theirs", user_id="user-b", key_id="key_theirs")
RESOLVED = ResolvedHyperparameters(
    n_epochs=3,
    batch_size=8,
    learning_rate_multiplier=1.0,
    learning_rate=2e-4,
    precision="bf16",
)
GOOD = Validated(resolved=RESOLVED, total_steps=100)
WEBHOOK = Webhook(
    door="bfl", url="https://example.com/told", secret="sealed", link_base="https://tunery.test"
)

_numbers = itertools.count(1)


class MovableClock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._now = START

    def now(self) -> datetime:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


def an_id(prefix: str) -> str:
    return f"{prefix}{next(_numbers):024x}"


def a_key(caller: Caller = OURS, *, expires_at: datetime | None = None) -> ApiKey:
    key_id = an_id("key_")
    return ApiKey(
        id=key_id,
        project_id=caller.project_id,
        user_id=caller.user_id,
        name="laptop",
        digest=digest(key_id),
        hint=key_id[-4:],
        created_at=START,
        expires_at=expires_at,
    )


def first_key(caller: Caller) -> ApiKey:
    return ApiKey(
        id=caller.key_id,
        project_id=caller.project_id,
        user_id=caller.user_id,
        name="first",
        digest=digest(caller.key_id),
        hint="urs",
        created_at=START,
    )


def a_file(
    project_id: str = "ours",
    *,
    purpose: str = "fine-tune",
    filename: str = "rows.jsonl",
    expires_at: datetime | None = None,
) -> File:
    return File(
        id=an_id("file-"),
        project_id=project_id,
        created_at=START,
        filename=filename,
        purpose=purpose,
        size_bytes=12,
        sha256="0" * 64,
        expires_at=expires_at,
    )


def an_upload(project_id: str = "ours") -> Upload:
    return Upload(
        id=an_id("upload_"),
        project_id=project_id,
        created_at=START,
        expires_at=START + timedelta(hours=1),
        filename="rows.jsonl",
        mime_type="text/jsonl",
        purpose="fine-tune",
        size_bytes=12,
    )


def a_part(upload: Upload) -> UploadPart:
    return UploadPart(id=an_id("part_"), upload_id=upload.id, created_at=START, size_bytes=6)


def a_job(
    project_id: str = "ours",
    *,
    metadata: Mapping[str, str] | None = None,
    training_file: str = "file-training",
    validation_file: str | None = None,
    webhook: Webhook | None = None,
) -> FineTuningJob:
    return FineTuningJob(
        id=an_id("ftjob-"),
        project_id=project_id,
        organization_id="org-a",
        created_by="user-a",
        created_at=START,
        status=JobStatus.VALIDATING_FILES,
        engine="local",
        base_model="tiny-chat",
        requested_model="gpt-4o-mini",
        training_file=training_file,
        validation_file=validation_file,
        method=Supervised(),
        lora=LoraConfig(target_modules=("q_proj", "v_proj")),
        overlong="error",
        suffix="cats",
        seed=7,
        metadata=metadata,
        echo={"openai": {"integrations": []}},
        webhook=webhook,
    )


def an_image(job: FineTuningJob, *, webhook: Webhook | None = None) -> ImageGeneration:
    return ImageGeneration(
        id=an_id(""),
        project_id=job.project_id,
        job_id=job.id,
        settings=ImageSettings(
            prompt="a TOK on a table",
            strength=0.8,
            width=512,
            height=384,
            steps=None,
            guidance=None,
            seed=7,
        ),
        created_at=START,
        webhook=webhook,
    )


def steps(first: int, last: int, *, valid_loss: float | None = None) -> list[Metrics]:
    return [
        Metrics(
            step=step,
            total_steps=100,
            train_loss=1 / step,
            train_mean_token_accuracy=0.5,
            learning_rate=2e-4,
            trained_tokens=10 * step,
            tokens_per_second=100.0,
            remaining_s=60.0,
            epoch=step / 33,
            full_valid_loss=valid_loss,
        )
        for step in range(first, last + 1)
    ]


def saved(step: int, *, valid_loss: float | None = None, folder: str = "") -> CheckpointSaved:
    [metrics] = steps(step, step, valid_loss=valid_loss)
    return CheckpointSaved(step=step, folder=folder or f"runs/c/{step}", metrics=metrics)


FINISHED = Finished(adapter="runs/j/1/adapter", trained_tokens=1000)


def added(
    store: Store, project_id: str = "ours", *, webhook: Webhook | None = None
) -> FineTuningJob:
    """A new job, kept."""
    return store.add_job(a_job(project_id, webhook=webhook), [NewEvent(message="Created")], None)


def queued(
    store: Store, project_id: str = "ours", *, webhook: Webhook | None = None
) -> FineTuningJob:
    """A job whose files are validated. No other may be waiting."""
    job = added(store, project_id, webhook=webhook)
    validation = claimed(store)
    assert validation.job.id == job.id
    store.validated(validation.lease, GOOD)
    return store.job(project_id, job.id)


def claimed(store: Store, owner: str = "worker-1", lease_s: float = 30) -> Run:
    """The next run."""
    run = store.claim(owner, lease_s)
    assert run is not None
    return run


def running(store: Store, project_id: str = "ours", *, webhook: Webhook | None = None) -> Run:
    """A run of a new job. No other may be waiting."""
    job = queued(store, project_id, webhook=webhook)
    run = claimed(store)
    assert run.job.id == job.id
    return run


def stale(lease: Lease) -> Lease:
    """The lease that came before this one."""
    return Lease(job_id=lease.job_id, owner=lease.owner, token=lease.token - 1)
