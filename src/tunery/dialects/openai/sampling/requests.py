"""Sampling requests in the core's words. What would be ignored in silence is refused instead."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tunery.core.errors import InvalidValue, Unsupported
from tunery.core.findings import Findings
from tunery.core.generation import GenerationRequest
from tunery.core.messages import check_messages
from tunery.dialects.openai.sampling.schemas import ChatRequest, CompletionRequest, Sampling

DEFAULT_MAX_TOKENS = 16
"""Of a completion; a chat answer ends when the model ends it.

https://platform.openai.com/docs/api-reference/completions/create
"""


def chat_to_core(body: ChatRequest) -> GenerationRequest:
    """`body` as a request for an answer to its messages.

    Raises:
        InvalidValue: a message cannot be right.
        Unsupported: it asks for what would not be honoured.
    """
    _refuse(body)
    _refuse_chat(body)
    _check(body.messages)
    return _writable(
        msgspec.structs.replace(
            _common(body),
            messages=body.messages,
            tools=None if body.tool_choice == "none" else body.tools or None,
            max_tokens=body.max_completion_tokens or body.max_tokens,
            logprobs=(body.top_logprobs or 0) if body.logprobs else None,
        )
    )


def completion_to_core(body: CompletionRequest) -> list[GenerationRequest]:
    """`body` as one request for each of its prompts.

    Raises:
        Unsupported: it asks for what would not be honoured.
    """
    _refuse(body)
    _refuse_completion(body)
    common = msgspec.structs.replace(
        _common(body), max_tokens=body.max_tokens or DEFAULT_MAX_TOKENS, logprobs=body.logprobs
    )
    return [_writable(msgspec.structs.replace(common, prompt=prompt)) for prompt in body.prompt]


def _common(body: Sampling) -> GenerationRequest:
    return GenerationRequest(
        location="",  # the service knows where the model lies
        temperature=1.0 if body.temperature is None else body.temperature,
        top_p=1.0 if body.top_p is None else body.top_p,
        n=body.n or 1,
        seed=body.seed,
        stop=tuple(body.stop),
    )


def _writable(request: GenerationRequest) -> GenerationRequest:
    r"""`request`, if it is text: JSON can write `"\\ud83d"`, which is half a character."""
    try:
        msgspec.json.encode(request)
    except UnicodeEncodeError as error:
        raise InvalidValue(
            f"The request holds half of a surrogate pair ({error.object[error.start]!r}), which "
            "is no character."
        ) from error
    return request


def _refuse(body: Sampling) -> None:
    for name, value in (
        ("presence_penalty", body.presence_penalty),
        ("frequency_penalty", body.frequency_penalty),
    ):
        if value:
            raise Unsupported(f"{name} is {value:g}; only 0 is there yet", param=name)
    if body.logit_bias:
        raise Unsupported("logit_bias is not there yet; leave it out", param="logit_bias")


def _refuse_chat(body: ChatRequest) -> None:
    if body.top_logprobs is not None and not body.logprobs:
        raise InvalidValue("top_logprobs needs logprobs to be true", param="top_logprobs")
    if body.tool_choice not in (None, "auto", "none"):
        raise Unsupported(
            'tool_choice can be "auto" or "none"; the model cannot be made to call a tool yet',
            param="tool_choice",
        )
    if body.response_format is not None and body.response_format.get("type") != "text":
        raise Unsupported(
            'response_format can be {"type": "text"}; answers cannot be held to a schema yet',
            param="response_format",
        )
    if body.functions:
        raise Unsupported("functions is the old name of tools; send tools", param="functions")
    if body.modalities and body.modalities != ["text"]:
        raise Unsupported('modalities can be ["text"]', param="modalities")


def _refuse_completion(body: CompletionRequest) -> None:
    if body.echo:
        raise Unsupported("echo is not there yet; put the prompt before the text", param="echo")
    if body.best_of is not None and body.best_of != (body.n or 1):
        raise Unsupported(f"best_of is {body.best_of}; it can only be n", param="best_of")
    if body.suffix:
        raise Unsupported("suffix is not there: models write on, not in between", param="suffix")
    for index, prompt in enumerate(body.prompt):
        if not isinstance(prompt, str) or not prompt:
            raise Unsupported(
                f"prompt[{index}] must be a text of at least one character; token ids are not "
                "there yet",
                param="prompt",
            )


def _check(messages: Sequence[Mapping[str, Any]]) -> None:
    """Refuse messages that training would refuse too; what is merely unusual may pass."""
    findings = Findings()
    check_messages(messages, "messages", findings, taught=False, ends="user")
    errors = [finding for finding in findings.found if finding.level == "error"]
    if not errors:
        return
    where = errors[0].field
    raise InvalidValue(
        "; ".join(f"{error.field or 'messages'} {error.message}" for error in errors),
        # A finding's place may also show the value that stands there.
        param=where.split(" ")[0] if where else "messages",
    )
