"""OpenAI's fine-tuning objects: what a request may hold, and what is answered.

Requests are read by pydantic, unknown fields ignored as the official service does; answers are
structs, which encode in a microsecond. `X_TUNERY_KEYS` are our own words, in one object apart.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, model_validator

from tunery.core.hyperparameters import Precision
from tunery.core.job import JobError, Overlong
from tunery.core.method import Subject
from tunery.core.preflight import Preflight
from tunery.core.progress import Score
from tunery.dialects.fields import STORABLE, Suffix, Text

LARGEST_SEED = 2**31 - 1
_BEYOND = 2.0**63
"""No number that could be meant is as large, and not every number that is can be kept."""

Status = Literal["validating_files", "queued", "running", "succeeded", "failed", "cancelled"]


def _whole_or_auto(value: Any) -> int | Literal["auto"] | None:  # noqa: ANN401
    if value is None or value == "auto":
        return value  # type: ignore[no-any-return]
    if isinstance(value, int | float) and not isinstance(value, bool) and value % 1 == 0:
        return int(value)
    raise ValueError(f'{value!r} is neither a whole number nor "auto"')


def _number_or_auto(value: Any) -> float | Literal["auto"] | None:  # noqa: ANN401
    if value is None or value == "auto":
        return value  # type: ignore[no-any-return]
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError(f'{value!r} is neither a number nor "auto"')  # noqa: TRY004
    if not abs(value) < _BEYOND:
        raise ValueError(f"{value!r} is out of range")
    return float(value)


def _modules(value: Any) -> tuple[str, ...] | Literal["all-linear"] | None:  # noqa: ANN401
    if value is None or value == "all-linear":
        return value  # type: ignore[no-any-return]
    if isinstance(value, list) and all(
        isinstance(name, str) and name.isprintable() for name in value
    ):
        return tuple(value)
    raise ValueError(f'{value!r} is neither a list of module names nor "all-linear"')


WholeOrAuto = Annotated[
    int | Literal["auto"] | None,
    PlainValidator(_whole_or_auto, json_schema_input_type=int | Literal["auto"] | None),
]
NumberOrAuto = Annotated[
    float | Literal["auto"] | None,
    PlainValidator(_number_or_auto, json_schema_input_type=float | Literal["auto"] | None),
]
Modules = Annotated[
    tuple[str, ...] | Literal["all-linear"] | None,
    PlainValidator(_modules, json_schema_input_type=list[str] | Literal["all-linear"] | None),
]
MetadataKey = Annotated[str, Field(max_length=64), STORABLE]
MetadataValue = Annotated[str, Field(max_length=512), STORABLE]


class HyperparametersBody(BaseModel):
    """What may be asked of a supervised run; null and "auto" are the same."""

    n_epochs: WholeOrAuto = None
    batch_size: WholeOrAuto = None
    learning_rate_multiplier: NumberOrAuto = None


class SupervisedBody(BaseModel):
    """The settings of the supervised method."""

    hyperparameters: HyperparametersBody | None = None


class DpoHyperparametersBody(HyperparametersBody):
    """What may be asked of a run on preferences."""

    beta: NumberOrAuto = None


class DpoBody(BaseModel):
    """The settings of direct preference optimization."""

    hyperparameters: DpoHyperparametersBody | None = None


class MethodBody(BaseModel):
    """How to learn. Settings of another method than `type` may stand beside it and are not read."""

    type: Literal["supervised", "dpo", "reinforcement"]
    supervised: SupervisedBody | None = None
    dpo: DpoBody | None = None

    @model_validator(mode="before")
    @classmethod
    def _leave_out_other_methods(cls, value: Any) -> Any:  # noqa: ANN401
        if not isinstance(value, dict):
            return value
        return {name: value[name] for name in value if name in ("type", value.get("type"))}


class XTunery(BaseModel):
    """Our own settings; a key that is none of them is kept, so that it can be refused by name."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    engine: str | None = None
    dry_run: bool = False
    overlong: Overlong | None = None
    sample_prompts: tuple[Text, ...] | None = None
    learning_rate: NumberOrAuto = None
    warmup_ratio: NumberOrAuto = None
    weight_decay: NumberOrAuto = None
    r: int | None = None
    lora_alpha: float | None = None
    lora_dropout: float | None = None
    target_modules: Modules = None


class CreateJob(BaseModel):
    """The body of a create call."""

    model: Annotated[Text, Field(min_length=1)]
    training_file: Annotated[Text, Field(min_length=1)]
    validation_file: Text | None = None
    method: MethodBody | None = None
    hyperparameters: HyperparametersBody | None = None
    suffix: Suffix = None
    seed: Annotated[int, Field(ge=0, le=LARGEST_SEED)] | None = None
    metadata: Annotated[dict[MetadataKey, MetadataValue], Field(max_length=16)] | None = None
    integrations: list[Any] | None = None
    x_tunery: XTunery | None = None


class Hyperparameters(msgspec.Struct, frozen=True, kw_only=True):
    """As asked before the files are read, as run from then on."""

    batch_size: int | Literal["auto"]
    learning_rate_multiplier: float | Literal["auto"]
    n_epochs: int | Literal["auto"]


class DpoHyperparameters(Hyperparameters, frozen=True, kw_only=True):
    """The same of a run on preferences."""

    beta: float | Literal["auto"]


class SupervisedSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the supervised method runs with."""

    hyperparameters: Hyperparameters


class DpoSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What direct preference optimization runs with."""

    hyperparameters: DpoHyperparameters


class MethodObject(msgspec.Struct, frozen=True, kw_only=True):
    """The method, its defaults filled in."""

    type: Literal["supervised", "dpo"]
    supervised: SupervisedSettings | msgspec.UnsetType = msgspec.UNSET
    dpo: DpoSettings | msgspec.UnsetType = msgspec.UNSET


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """Base and tuned model on held-out golden records."""

    base: Score
    tuned: Score


class JobXTunery(msgspec.Struct, frozen=True, kw_only=True):
    """What OpenAI's job has no words for; what only a job has is left out where there is none."""

    status: str | msgspec.UnsetType
    step: int | msgspec.UnsetType
    total_steps: int | msgspec.UnsetType | None
    engine: str
    learning_rate: float | Literal["auto"]
    warmup_ratio: float | Literal["auto"]
    weight_decay: float | Literal["auto"]
    r: int
    lora_alpha: float
    lora_dropout: float
    target_modules: tuple[str, ...] | Literal["all-linear"]
    overlong: Overlong
    requested_model: str
    evaluation: Evaluation | msgspec.UnsetType | None
    sample_prompts: tuple[str, ...] | None
    beta: float | Literal["auto"] | msgspec.UnsetType = msgspec.UNSET
    """Of a job on preferences alone."""
    precision: Precision | msgspec.UnsetType = msgspec.UNSET
    """Of a job on text alone, once its files are read."""
    subject: Subject | msgspec.UnsetType = msgspec.UNSET
    """Of a job on pictures alone."""


class JobObject(msgspec.Struct, frozen=True, kw_only=True):
    """A job, exactly as the official client's strict check wants it."""

    id: str
    object: Literal["fine_tuning.job"] = "fine_tuning.job"
    created_at: int
    finished_at: int | None
    estimated_finish: int | None
    model: str
    fine_tuned_model: str | None
    organization_id: str
    status: Status
    training_file: str
    validation_file: str | None
    result_files: tuple[str, ...]
    trained_tokens: int | None
    error: JobError | None
    hyperparameters: Hyperparameters
    seed: int
    method: MethodObject
    integrations: tuple[()] = ()
    metadata: Mapping[str, str] | None
    user_provided_suffix: str | None
    x_tunery: JobXTunery


class EventObject(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a job."""

    id: str
    object: Literal["fine_tuning.job.event"] = "fine_tuning.job.event"
    created_at: int
    level: Literal["info", "warn", "error"]
    message: str
    type: Literal["message", "metrics"]
    data: Mapping[str, Any] | None


class CheckpointMetrics(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How the model did at a checkpoint; what was not measured is left out."""

    step: int
    train_loss: float
    train_mean_token_accuracy: float | None = None
    full_valid_loss: float | None = None
    full_valid_mean_token_accuracy: float | None = None
    train_rewards_chosen: float | None = None
    train_rewards_rejected: float | None = None
    train_rewards_margins: float | None = None
    train_rewards_accuracies: float | None = None
    full_valid_rewards_chosen: float | None = None
    full_valid_rewards_rejected: float | None = None
    full_valid_rewards_margins: float | None = None
    full_valid_rewards_accuracies: float | None = None


class CheckpointObject(msgspec.Struct, frozen=True, kw_only=True):
    """A state of the model that can be called by its own name."""

    id: str
    object: Literal["fine_tuning.job.checkpoint"] = "fine_tuning.job.checkpoint"
    created_at: int
    fine_tuning_job_id: str
    fine_tuned_model_checkpoint: str
    step_number: int
    metrics: CheckpointMetrics


class DryRunObject(msgspec.Struct, frozen=True, kw_only=True):
    """What a job would be, see and cost. Nothing was made."""

    object: Literal["fine_tuning.dry_run"] = "fine_tuning.dry_run"
    model: str
    training_file: str
    validation_file: str | None
    hyperparameters: Hyperparameters
    x_tunery: JobXTunery
    steps: int | None
    """None where the files have errors and nothing would be started."""
    estimated_seconds: float | None
    memory_bytes: int | None
    report: Preflight


X_TUNERY_KEYS: Sequence[str] = tuple(XTunery.model_fields)
