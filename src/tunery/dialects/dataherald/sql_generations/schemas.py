"""SQL generations on the wire."""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from tunery.dialects.dataherald.fields import Body, LongText, Metadata, Name
from tunery.dialects.dataherald.prompts.schemas import PromptRequest

Status = Literal["NONE", "VALID", "INVALID"]


class LlmConfig(Body):
    """The model that writes where no finetuning does."""

    llm_name: Name | None = None
    api_base: Name | None = None


class SqlGenerationRequest(Body):
    """What is to write the SQL, or the SQL itself."""

    finetuning_id: Name | None = None
    low_latency_mode: bool = False
    llm_config: LlmConfig | None = None
    evaluate: bool = False
    sql: LongText | None = None
    metadata: Metadata | None = None


class PromptSqlGenerationRequest(SqlGenerationRequest):
    """The same with the prompt that it is for."""

    prompt: PromptRequest


class LlmConfigResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The model, as it was asked for or as it was chosen."""

    llm_name: str
    api_base: None = None


class IntermediateStep(msgspec.Struct, frozen=True, kw_only=True):
    """Something tried before the answer."""

    thought: str
    action: str
    action_input: str
    observation: str


class SqlGenerationResponse(msgspec.Struct, frozen=True, kw_only=True):
    """SQL, and what came of trying it out."""

    id: str
    metadata: Mapping[str, object] | None
    created_at: str
    prompt_id: str
    finetuning_id: str | None
    status: Status
    completed_at: str | None
    llm_config: LlmConfigResponse | None
    intermediate_steps: Sequence[IntermediateStep] | None
    sql: str | None
    tokens_used: int | None
    confidence_score: None = None
    error: str | None
