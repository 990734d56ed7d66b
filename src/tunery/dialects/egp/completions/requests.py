"""Requests for text in the core's words. What would be ignored in silence is refused by name."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tunery.core.errors import InvalidValue
from tunery.core.findings import Findings
from tunery.core.generation import GenerationRequest
from tunery.core.messages import check_messages
from tunery.dialects.egp.completions import schemas
from tunery.dialects.egp.errors import Misplaced, Place

DEPLOYMENT_MAX_TOKENS = 100
"""Of an answer that a deployment gives, as Scale's API has it for LLM Engine's models."""
MODEL_TEMPERATURE = 0.2
"""Of an answer that is asked for by a model's name, as Scale's API has it."""

_BODY: Place = ("body",)
_PARAMETERS: Place = ("body", "model_parameters")
_EVERY_TOKEN = (-1, 0)
"""Values of `top_k` that leave out no token."""
_NO_BINDINGS: Mapping[str, Any] = {"bindings": {}}
"""`model_request_parameters` that ask for nothing."""
_NEUTRAL: Mapping[str, Any] = {
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "reasoning_effort": None,
    "chat_template": None,
    "chat_template_kwargs": {},
}
"""What cannot be done here, and the value that asks for none of it."""


def completion_to_core(body: schemas.CompletionRequest) -> GenerationRequest:
    """`body` as a request for what follows its prompt.

    Raises:
        Misplaced: it asks for what would not be honoured.
    """
    _check_prompt(body.prompt)
    return _writable(_of_deployment(body, prompt=body.prompt))


def chat_to_core(
    body: schemas.CompletionRequest, history: Sequence[Mapping[str, Any]]
) -> GenerationRequest:
    """`body` as a request for an answer to its prompt after `history`; raises as above."""
    messages = [*map(dict, history), {"role": "user", "content": body.prompt}]
    _check_messages(messages, "chat_history")
    return _writable(_of_deployment(body, messages=messages))


def model_completion_to_core(body: schemas.ModelCompletionRequest) -> GenerationRequest:
    """`body` as a request for what follows its prompt; raises as above."""
    _check_prompt(body.prompt)
    if body.images:
        raise Misplaced("images are not read: models here know text alone", "body", "images")
    asked = body.model_parameters or schemas.Parameters()
    return _writable(_of_model(asked, prompt=body.prompt))


def model_chat_to_core(body: schemas.ModelChatRequest) -> GenerationRequest:
    """`body` as a request for an answer to its messages; raises as above."""
    if body.chat_template is not None:
        raise _not_there("chat_template", body.chat_template, _BODY)
    messages = [dict(message) for message in body.messages]
    _check_messages(messages, "messages")
    messages = _remembered(messages, body.memory_strategy)
    if body.instructions is not None:
        messages = [{"role": "system", "content": body.instructions}, *messages]
    asked = body.model_parameters or schemas.Parameters()
    return _writable(_of_model(asked, messages=messages))


def _of_deployment(
    body: schemas.CompletionRequest,
    *,
    prompt: str | None = None,
    messages: list[dict[str, Any]] | None = None,
) -> GenerationRequest:
    _refuse(body, _BODY)
    more = body.model_request_parameters
    if more and more != _NO_BINDINGS:
        raise _not_there("model_request_parameters", more, _BODY)
    if body.top_logprobs is not None and not body.logprobs:
        raise Misplaced("top_logprobs needs logprobs to be true", "body", "top_logprobs")
    return GenerationRequest(
        location="",  # the service knows where the model lies
        prompt=prompt,
        messages=messages,
        temperature=1.0 if body.temperature is None else body.temperature,
        top_p=1.0 if body.top_p is None else body.top_p,
        max_tokens=body.max_tokens or DEPLOYMENT_MAX_TOKENS,
        stop=tuple(body.stop_sequences or ()),
        logprobs=(body.top_logprobs or 0) if body.logprobs else None,
    )


def _of_model(
    asked: schemas.Parameters,
    *,
    prompt: str | None = None,
    messages: list[dict[str, Any]] | None = None,
) -> GenerationRequest:
    _refuse(asked, _PARAMETERS)
    return GenerationRequest(
        location="",
        prompt=prompt,
        messages=messages,
        temperature=MODEL_TEMPERATURE if asked.temperature is None else asked.temperature,
        top_p=1.0 if asked.top_p is None else asked.top_p,
        max_tokens=asked.max_tokens,
        stop=tuple(asked.stop_sequences or ()),
    )


def _refuse(asked: schemas.Asked, place: Place) -> None:
    """Refuse what generation cannot do, unless it asks for nothing."""
    for name, neutral in _NEUTRAL.items():
        value = getattr(asked, name, None)
        if value is not None and value != neutral:
            raise _not_there(name, value, place)
    field = type(asked).model_fields.get("top_k")
    top_k = getattr(asked, "top_k", None)
    if field is not None and top_k is not None and top_k not in _EVERY_TOKEN:
        raise _not_there(field.alias or "top_k", top_k, place)


def _not_there(name: str, value: object, place: Place) -> Misplaced:
    shown = repr(value)[:80]
    return Misplaced(
        f"{name} is {shown}, which cannot be done here; leave it out",
        *place,
        name,
        code="unsupported",
    )


def _remembered(
    messages: list[dict[str, Any]], strategy: schemas.MemoryStrategy | None
) -> list[dict[str, Any]]:
    """The last message, and as many before it as the strategy keeps."""
    if strategy is None:
        return messages
    if strategy.name != "last_k":
        raise Misplaced(
            f"memory_strategy.name is {strategy.name[:80]!r}; it must be 'last_k'",
            "body",
            "memory_strategy",
            "name",
        )
    return messages[-strategy.params.k - 1 :]


def _check_prompt(prompt: str) -> None:
    if not prompt:
        raise Misplaced("prompt must have at least one character", "body", "prompt")


def _check_messages(messages: Sequence[Mapping[str, Any]], name: str) -> None:
    """Refuse messages that training would refuse too; what is merely unusual may pass."""
    findings = Findings()
    check_messages(list(messages), name, findings, taught=False, ends="user")
    errors = [finding for finding in findings.found if finding.level == "error"]
    if errors:
        told = "; ".join(f"{error.field or name} {error.message}" for error in errors)
        raise Misplaced(told, "body", name)


def _writable(request: GenerationRequest) -> GenerationRequest:
    r"""`request`, if it is text: JSON can write `"\\ud83d"`, which is half a character."""
    try:
        msgspec.json.encode(request)
    except (UnicodeEncodeError, OverflowError) as error:
        raise InvalidValue(f"The request holds what cannot be read: {error}.") from error
    return request
