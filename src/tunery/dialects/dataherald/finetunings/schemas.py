"""Finetunings on the wire."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self

import msgspec
from pydantic import Field, field_validator, model_validator

from tunery.core.errors import InvalidValue
from tunery.core.text_to_sql import MOST_GOLDEN_RECORDS
from tunery.dialects.dataherald.fields import Body, Metadata, Name, Schemas
from tunery.dialects.dataherald.finetunings.parameters import from_text

Status = Literal["validating_files", "queued", "running", "succeeded", "failed", "cancelled"]

GoldenIds = Annotated[list[Name], Field(max_length=MOST_GOLDEN_RECORDS)]


class BaseLlm(Body):
    """The model to tune, and how; numbers may come as text."""

    model_provider: Name | None = None
    model_name: Name | None = None
    model_parameters: dict[Name, Name] | None = None

    @field_validator("model_parameters")
    @classmethod
    def _readable(cls, value: dict[str, str] | None) -> dict[str, str] | None:
        try:
            from_text(value or {})
        except InvalidValue as error:
            raise ValueError(error.message) from error
        return value


class FineTuningRequest(Body):
    """The body of a create call."""

    db_connection_id: Name
    schemas: Schemas | None = None
    alias: Name | None = None
    base_llm: BaseLlm | None = None
    golden_sqls: GoldenIds | None = None
    golden_records: Annotated[GoldenIds | None, Field(exclude=True)] = None
    """Another name of `golden_sqls`."""
    metadata: Metadata | None = None

    @model_validator(mode="after")
    def _one_name(self) -> Self:
        if self.golden_sqls is None:
            self.golden_sqls = self.golden_records
        elif self.golden_records not in (None, self.golden_sqls):
            raise ValueError("golden_sqls and golden_records are the same thing; send one of them")
        return self


class CancelRequest(Body):
    """The body of a cancel call, which may be left out: the path says which finetuning it is."""

    finetuning_id: Name | None = None
    metadata: Metadata | None = None


class BaseLlmResponse(msgspec.Struct, frozen=True, kw_only=True):
    """What a job runs with."""

    model_provider: str
    model_name: str
    model_parameters: Mapping[str, str] | None


class ScoreResponse(msgspec.Struct, frozen=True, kw_only=True):
    """How many of `n` held-out questions a model answered."""

    n: int
    exact_match: int
    execution_match: int


class EvaluationResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The base and the tuned model on the same questions. Ours: Dataherald has none."""

    base: ScoreResponse
    tuned: ScoreResponse


class FinetuningResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A finetuning, as every route answers it."""

    id: str
    alias: str
    db_connection_id: str
    schemas: Sequence[str] | None
    status: Status
    error: str | None
    base_llm: BaseLlmResponse
    finetuning_file_id: str | None
    finetuning_job_id: str | None
    model_id: str | None
    created_at: str
    golden_records: Sequence[str]
    golden_sqls: Sequence[str]
    metadata: Mapping[str, object] | None
    evaluation: EvaluationResponse | None


class Deleted(msgspec.Struct, frozen=True, kw_only=True):
    """What a delete answers."""

    status: Literal["success"] = "success"
