"""Base models, tuned models, and the names that both go by."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from tunery.core.access import IdentityType
from tunery.core.hyperparameters import TuningDefaults

_CHECKPOINT = re.compile(r"^(?P<model>ft:.+):ckpt-step-(?P<step>[1-9][0-9]{0,17})$")


Modality = Literal["text", "image"]
"""What a model makes."""

Quantization = Literal["nf4"]
"""How the frozen weights are kept: in four bits, as in QLoRA (Dettmers et al. 2023)."""


@dataclass(frozen=True, kw_only=True)
class BaseModel:
    """A model that can be tuned, and what "auto" means for it."""

    name: str
    location: str
    """A folder, or a Hugging Face id `org/name[@revision]`."""
    owned_by: str
    created_at: datetime
    defaults: TuningDefaults = field(default_factory=TuningDefaults)
    modality: Modality = "text"
    quantization: Quantization | None = None
    """None: as they are in its files."""


@dataclass(frozen=True, kw_only=True)
class FineTunedModel:
    """The adapter that a job made, under the name that callers use."""

    name: str
    project_id: str
    job_id: str
    base_model: str
    adapter: str
    """The blob key of the adapter's folder, in PEFT's layout."""
    created_at: datetime
    created_by: str = ""
    created_by_type: IdentityType = IdentityType.USER


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """A name under which a model answers, beside its own. Every tuned model has one of its own."""

    id: str
    """`dpl_` and 24 hexadecimal digits; that of a tuned model has the digits of its job."""
    project_id: str
    model: str
    name: str
    created_at: datetime
    created_by: str
    created_by_type: IdentityType = IdentityType.USER
    echo: Mapping[str, object] = field(default_factory=dict)
    """Per dialect, what it must give back and nobody else has a use for."""


def tuned_model_name(*, base_model: str, organization: str, suffix: str | None, job_id: str) -> str:
    """`ft:<base>:<org>:<suffix>:<id>`, as OpenAI writes it; the id is the job's last 8 digits."""
    return f"ft:{base_model}:{organization}:{suffix or ''}:{job_id[-8:]}"


def checkpoint_name(model: str, step: int) -> str:
    """The name under which the checkpoint of `step` can be called."""
    return f"{model}:ckpt-step-{step}"


def split_checkpoint(name: str) -> tuple[str, int | None]:
    """The tuned model's name, and the step if `name` is that of a checkpoint."""
    if (found := _CHECKPOINT.match(name)) is None:
        return name, None
    return found["model"], int(found["step"])
