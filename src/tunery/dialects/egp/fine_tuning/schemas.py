"""Scale's fine-tuning objects: what a request may hold, and what is answered.

The shape of an answer is that of the published page "Get Fine Tuning Job", where no field may be
null: what has no value is left out.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType
from pydantic import BaseModel, ConfigDict, Field

from tunery.dialects.egp.answers import Entity
from tunery.dialects.egp.free import FreeMap
from tunery.dialects.fields import STORABLE, Suffix

Status = Literal["PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELED"]
Vendor = Literal["LAUNCH", "LLMENGINE", "OPENAI"]


Id = Annotated[str, Field(min_length=1, max_length=512), STORABLE]


class VendorConfiguration(BaseModel):
    """Who is to train, and how; without a vendor it is LAUNCH, the first of the union."""

    model_config = ConfigDict(extra="forbid")

    vendor: Vendor = "LAUNCH"
    hyperparameters: FreeMap | None = None
    wandb_config: FreeMap | None = None
    suffix: Suffix = None
    output: Annotated[str, Field(max_length=1024), STORABLE] | None = None


class CreateJob(BaseModel):
    """The body of a create call."""

    account_id: str | None = None
    training_dataset_id: Id
    validation_dataset_id: Id | None = None
    base_model_id: Id | None = None
    fine_tuned_model_id: Id | None = None
    vendor_configuration: VendorConfiguration | None = None


class JobObject(Entity, frozen=True, kw_only=True):
    """A fine-tuning job."""

    status: Status
    training_dataset_id: str
    validation_dataset_id: str | UnsetType = UNSET
    base_model_id: str
    fine_tuned_model_id: str | UnsetType = UNSET
    vendor_configuration: Mapping[str, object] | UnsetType = UNSET


class EventObject(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a job; the reason of a failure is one of these."""

    timestamp: float
    message: str
    level: str
