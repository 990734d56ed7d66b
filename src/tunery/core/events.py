"""What happened to a job, and the checkpoints that it left."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from tunery.core.progress import Metrics, SampledText

Level = Literal["info", "warn", "error"]
_NUMBER = re.compile(r"[1-9][0-9]{0,17}")


@dataclass(frozen=True, kw_only=True)
class NewEvent:
    """Something to say about a job."""

    message: str
    level: Level = "info"
    type: Literal["message", "metrics"] = "message"
    data: Mapping[str, object] | None = None


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that was said. Numbers of a job's events rise from 1 without a gap (I12)."""

    id: str
    """`ftevent-`, the job's 24 digits, `-` and the number."""
    job_id: str
    number: int
    created_at: datetime
    level: Level
    message: str
    type: Literal["message", "metrics"]
    data: Mapping[str, object] | None


def event_id(job_id: str, number: int) -> str:
    """The id of a job's event: it says which job and which number, so it needs no index."""
    return f"ftevent-{job_id.removeprefix('ftjob-')}-{number}"


def event_number(job_id: str, event: str) -> int | None:
    """The number in an event's id; None where the id is not one of this job's."""
    head = f"ftevent-{job_id.removeprefix('ftjob-')}-"
    number = event.removeprefix(head)
    return int(number) if event.startswith(head) and _NUMBER.fullmatch(number) else None


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A published checkpoint: an adapter, and all that is needed to continue from it."""

    id: str
    """`ftckpt_` and 24 hexadecimal digits."""
    project_id: str
    job_id: str
    created_at: datetime
    step: int
    folder: str
    """The blob key of its folder, the adapter in PEFT's layout among the files."""
    model: str
    """The name under which it can be called."""
    base_model: str
    """What it is an adapter of."""
    metrics: Metrics


def text_samples_event(sampled: SampledText) -> NewEvent:
    """The event of what a model says at one step."""
    return NewEvent(
        message=f"Samples at step {sampled.step}",
        data={
            "step": sampled.step,
            "samples": [
                {"prompt": sample.prompt, "answer": sample.answer} for sample in sampled.samples
            ],
        },
    )


def metrics_event(metrics: Metrics) -> NewEvent:
    """The event of one step, worded and keyed as OpenAI's."""
    named: dict[str, object] = {
        "step": metrics.step,
        "total_steps": metrics.total_steps,
        "train_loss": metrics.train_loss,
        "train_mean_token_accuracy": metrics.train_mean_token_accuracy,
        "learning_rate": metrics.learning_rate,
        "tokens_per_second": metrics.tokens_per_second,
        "trained_tokens": metrics.trained_tokens,
        "remaining_seconds": metrics.remaining_s,
        "epoch": metrics.epoch,
        "full_valid_loss": metrics.full_valid_loss,
        "full_valid_mean_token_accuracy": metrics.full_valid_mean_token_accuracy,
        "train_rewards_chosen": metrics.train_rewards_chosen,
        "train_rewards_rejected": metrics.train_rewards_rejected,
        "train_rewards_margins": metrics.train_rewards_margins,
        "train_rewards_accuracies": metrics.train_rewards_accuracies,
        "full_valid_rewards_chosen": metrics.full_valid_rewards_chosen,
        "full_valid_rewards_rejected": metrics.full_valid_rewards_rejected,
        "full_valid_rewards_margins": metrics.full_valid_rewards_margins,
        "full_valid_rewards_accuracies": metrics.full_valid_rewards_accuracies,
    }
    message = f"Step {metrics.step}/{metrics.total_steps}: training loss={metrics.train_loss:.2f}"
    if metrics.full_valid_loss is not None:
        message += f", validation loss={metrics.full_valid_loss:.2f}"
    data = {key: value for key, value in named.items() if value is not None}
    return NewEvent(message=message, type="metrics", data=data)
