"""Finetunes on the wire. Limits and defaults are BFL's (API reference, "Finetune")."""

from enum import IntEnum, StrEnum
from typing import Annotated, Literal

import msgspec
from pydantic import Field

from tunery.core.method import FEWEST_ITERATIONS, HIGHEST_RATE, LOWEST_RATE, MOST_ITERATIONS
from tunery.dialects.bfl.answers import Status
from tunery.dialects.bfl.fields import Body, FinetuneId, LongText, Told
from tunery.dialects.fields import STORABLE

LONGEST_TRIGGER = 256


class Mode(StrEnum):
    """What is on the pictures."""

    GENERAL = "general"
    CHARACTER = "character"
    STYLE = "style"
    PRODUCT = "product"


class Priority(StrEnum):
    """Of what there shall be more."""

    SPEED = "speed"
    QUALITY = "quality"
    HIGH_RES_ONLY = "high_res_only"


class FinetuneType(StrEnum):
    """What is trained."""

    LORA = "lora"
    FULL = "full"


class LoraRank(IntEnum):
    """The rank of the adapter."""

    LOW = 16
    HIGH = 32


class FinetuneRequest(Told):
    """The body of a create call."""

    file_data: str
    finetune_comment: LongText
    mode: Mode
    trigger_word: Annotated[str, Field(min_length=1, max_length=LONGEST_TRIGGER), STORABLE] = "TOK"
    iterations: Annotated[int, Field(ge=FEWEST_ITERATIONS, le=MOST_ITERATIONS)] = 300
    learning_rate: Annotated[float, Field(ge=LOWEST_RATE, le=HIGHEST_RATE)] | None = None
    captioning: bool = True
    priority: Priority = Priority.QUALITY
    finetune_type: FinetuneType = FinetuneType.FULL
    lora_rank: LoraRank = LoraRank.HIGH


class DeleteRequest(Body):
    """The body of a delete call."""

    finetune_id: FinetuneId


class Finetunes(msgspec.Struct, frozen=True, kw_only=True):
    """The ids of a list."""

    finetunes: list[str]


class Details(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a finetune; null is what a job of another door has none of."""

    finetune_id: str
    finetune_comment: str | None
    trigger_word: str | None
    mode: str | None
    iterations: int | None
    learning_rate: float | None
    captioning: bool | None
    priority: str | None
    finetune_type: str | None
    lora_rank: int
    timestamp: str
    status: Status
    base_model: str
    training_file: str
    fine_tuned_model: str | None


class DetailsResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The answer that holds them."""

    finetune_details: Details


class Deleted(msgspec.Struct, frozen=True, kw_only=True):
    """What a delete answers."""

    status: Literal["success"] = "success"
    message: str = "Finetune deleted"
    deleted_finetune_id: str
    timestamp: str
