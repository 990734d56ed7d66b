"""Scale's requests for text, and the objects that answer them."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType
from pydantic import BaseModel, ConfigDict, Field

from tunery.dialects.fields import STORABLE

MOST_STOPS = 4
MOST_LOGPROBS = 20

Temperature = Annotated[float, Field(ge=0, le=2)]
TopP = Annotated[float, Field(gt=0, le=1)]
Tokens = Annotated[int, Field(ge=1)]
Stops = Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=MOST_STOPS)]
ModelName = Annotated[str, Field(min_length=1, max_length=512), STORABLE]
Messages = list[dict[str, Any]]


class Asked(BaseModel):
    """What every request takes beside its text. Null is the same as leaving it out."""

    model_config = ConfigDict(allow_inf_nan=False)

    temperature: Temperature | None = None
    max_tokens: Tokens | None = None
    stop_sequences: Stops | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    reasoning_effort: str | None = None


class CompletionRequest(Asked):
    """The body of `POST /v4/models/{id}/completions`."""

    prompt: str
    top_k: float | None = None
    top_p: TopP | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MOST_LOGPROBS)] | None = None
    chat_template: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    model_request_parameters: dict[str, Any] | None = None
    stream: bool | None = None


class ChatRequest(CompletionRequest):
    """The body of `POST /v4/models/{id}/chat-completions`; `prompt` is the user's new turn."""

    chat_history: Messages


class ExecuteRequest(CompletionRequest):
    """The body of an execute call: a chat where it has a history, else a completion."""

    chat_history: Messages | None = None


class Parameters(Asked):
    """`model_parameters`, in which two names are written otherwise than elsewhere."""

    top_k: float | None = Field(default=None, alias="topK")
    top_p: TopP | None = Field(default=None, alias="topP")


class ModelCompletionRequest(BaseModel):
    """The body of `POST /v4/completions`."""

    model: ModelName
    prompt: str
    account_id: str | None = None
    images: list[Any] | None = None
    model_parameters: Parameters | None = None
    stream: bool | None = None


class LastK(BaseModel):
    """How many messages before the last one the model is shown."""

    k: Annotated[int, Field(ge=0)]


class MemoryStrategy(BaseModel):
    """What of a long conversation is left out."""

    name: str = "last_k"
    params: LastK


class ModelChatRequest(BaseModel):
    """The body of `POST /v4/chat-completions`."""

    model: ModelName
    messages: Annotated[Messages, Field(min_length=1)]
    account_id: str | None = None
    instructions: str | None = None
    chat_template: str | None = None
    memory_strategy: MemoryStrategy | None = None
    model_parameters: Parameters | None = None
    stream: bool | None = None


class TopLogprob(msgspec.Struct, frozen=True, kw_only=True):
    """How likely another token was."""

    token: str
    logprob: float
    bytes: list[int]


class TokenLogprob(TopLogprob, frozen=True, kw_only=True):
    """How likely a token was, and the likeliest others."""

    top_logprobs: Sequence[TopLogprob]


class Logprobs(msgspec.Struct, frozen=True, kw_only=True):
    """Log-probabilities of the tokens of an answer."""

    content: Sequence[TokenLogprob]


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one of the answers."""

    index: int
    logprobs: Logprobs


class CompletionObject(msgspec.Struct, frozen=True, kw_only=True):
    """What a deployment answers, whole or piece by piece."""

    completions: Sequence[Sequence[str]]
    choices: Sequence[Choice] | UnsetType = UNSET
    finish_reason: str | UnsetType = UNSET
    prompt_tokens: int | UnsetType = UNSET
    response_tokens: int | UnsetType = UNSET


class TokenUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens read and written."""

    prompt: int
    completion: int
    total: int


class Completion(msgspec.Struct, frozen=True, kw_only=True):
    """A text, or what is new in it."""

    text: str
    finish_reason: str | UnsetType = UNSET


class ModelCompletionObject(msgspec.Struct, frozen=True, kw_only=True):
    """The whole answer to `POST /v4/completions`."""

    completion: Completion
    token_usage: TokenUsage


class ModelCompletionChunk(CompletionObject, frozen=True, kw_only=True):
    """A piece of it. The documentation has one shape for it and the client's types another."""

    completion: Completion
    token_usage: TokenUsage | UnsetType = UNSET


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What the assistant says."""

    role: str = "assistant"
    content: str


class Chat(msgspec.Struct, frozen=True, kw_only=True):
    """An answer, or what is new in it."""

    message: Message
    finish_reason: str | UnsetType = UNSET


class ModelChatObject(msgspec.Struct, frozen=True, kw_only=True):
    """The whole answer to `POST /v4/chat-completions`."""

    chat_completion: Chat
    token_usage: TokenUsage


class ModelChatChunk(CompletionObject, frozen=True, kw_only=True):
    """A piece of it, in both shapes as above."""

    chat_completion: Chat
    token_usage: TokenUsage | UnsetType = UNSET
