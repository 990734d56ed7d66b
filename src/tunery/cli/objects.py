"""Those parts of the API's objects that the commands show."""

import time
from typing import Any, TypeVar

import msgspec

from tunery.cli.client import Json

Value = TypeVar("Value")

FINAL = frozenset({"succeeded", "failed", "cancelled"})


class JobError(msgspec.Struct, frozen=True):
    """Why a job failed."""

    code: str
    message: str
    param: str | None = None


class JobExtras(msgspec.Struct, frozen=True):
    """What the server says beyond OpenAI's object."""

    status: str | None = None
    engine: str | None = None
    overlong: str | None = None
    learning_rate: float | str | None = None
    warmup_ratio: float | str | None = None
    weight_decay: float | str | None = None
    r: int | None = None
    lora_alpha: float | None = None
    beta: float | str | None = None
    precision: str | None = None
    subject: dict[str, Any] | None = None
    """How an image model learns; a job of text has none."""


class Job(msgspec.Struct, frozen=True):
    """A fine-tuning job."""

    id: str
    created_at: int
    model: str
    status: str
    training_file: str
    finished_at: int | None = None
    estimated_finish: int | None = None
    fine_tuned_model: str | None = None
    validation_file: str | None = None
    trained_tokens: int | None = None
    error: JobError | None = None
    hyperparameters: dict[str, Any] = {}
    seed: int | None = None
    metadata: dict[str, str] | None = None
    result_files: list[str] = []
    x_tunery: JobExtras = JobExtras()

    @property
    def state(self) -> str:
        """The status, in the server's own words where it gives them: OpenAI has no `paused`."""
        return self.x_tunery.status or self.status

    @property
    def is_final(self) -> bool:
        """Whether the job will never change again."""
        return self.status in FINAL


class StepData(msgspec.Struct, frozen=True):
    """What a metrics event carries."""

    step: int
    total_steps: int
    train_loss: float
    tokens_per_second: float | None = None
    remaining_seconds: float | None = None
    full_valid_loss: float | None = None


class TextSample(msgspec.Struct, frozen=True):
    """What the model said to a prompt."""

    prompt: str
    answer: str


class Event(msgspec.Struct, frozen=True):
    """Something that was said about a job."""

    id: str
    created_at: int
    level: str
    message: str
    type: str = "message"
    data: dict[str, Any] | None = None

    @property
    def step(self) -> StepData | None:
        """The figures of a training step; None where the event is words."""
        return read(self.data, StepData) if self.type == "metrics" and self.data else None

    @property
    def samples(self) -> list[TextSample]:
        """What the model said to its prompts, where the event tells of that."""
        said = (self.data or {}).get("samples")
        return [read(each, TextSample) for each in said] if isinstance(said, list) else []


class FileObject(msgspec.Struct, frozen=True):
    """An uploaded file."""

    id: str
    bytes: int
    created_at: int
    filename: str
    purpose: str
    status: str = "processed"
    expires_at: int | None = None


class Model(msgspec.Struct, frozen=True):
    """A model that can be asked."""

    id: str
    created: int
    owned_by: str


class KeyOwner(msgspec.Struct, frozen=True):
    """Whom a key speaks for."""

    type: str
    id: str
    name: str | None = None


class Key(msgspec.Struct, frozen=True):
    """A key, as its owner may see it."""

    id: str
    name: str
    hint: str = ""
    created_at: int | None = None
    expires_at: int | None = None
    revoked_at: int | None = None
    key: str | None = None
    """The key itself, once: in the answer that made it."""
    owner: KeyOwner | None = None

    @property
    def speaks_for(self) -> str:
        """A service account by its name, a user by its id."""
        return "" if self.owner is None else self.owner.name or self.owner.id

    @property
    def state(self) -> str:
        """Whether it still opens anything."""
        if self.revoked_at is not None:
            return "revoked"
        expired = self.expires_at is not None and self.expires_at <= time.time()
        return "expired" if expired else "live"


def read(value: Json, kind: type[Value]) -> Value:
    """An object of the API as a `kind`; fields that no command shows are passed over."""
    return msgspec.convert(value, kind, strict=False)


def read_list(page: Json, kind: type[Value]) -> list[Value]:
    """The items of a list object."""
    return [read(item, kind) for item in page["data"]]
