"""What a model says in OpenAI's objects: whole answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tunery.core.generation import TokenLogprob
from tunery.core.ids import new_id
from tunery.dialects.openai.sampling import schemas
from tunery.dialects.pieces import Collected


@dataclass(frozen=True, kw_only=True)
class Heading:
    """What every object of one answer begins with."""

    id: str
    created: int
    model: str
    """The name that the caller wrote."""


def heading(prefix: str, model: str, now: datetime) -> Heading:
    """A heading with a new id."""
    return Heading(id=new_id(prefix), created=int(now.timestamp()), model=model)


def chat_completion(
    head: Heading, collected: Collected, *, with_logprobs: bool
) -> schemas.ChatCompletion:
    """The whole answer to a chat request."""
    return schemas.ChatCompletion(
        id=head.id,
        created=head.created,
        model=head.model,
        choices=[
            schemas.ChatChoice(
                index=index,
                message=schemas.Message(content="".join(said.text)),
                logprobs=chat_logprobs(said.logprobs) if with_logprobs else None,
                finish_reason=said.finish_reason,
            )
            for index, said in sorted(collected.said.items())
        ],
        usage=usage(collected.usage),
    )


def completion(
    head: Heading, collected: Collected, *, with_logprobs: bool, offsets: Sequence[int]
) -> schemas.Completion:
    """The whole answer to a completion request; `offsets` are where each text begins."""
    return schemas.Completion(
        id=head.id,
        created=head.created,
        model=head.model,
        choices=[
            schemas.TextChoice(
                index=index,
                text="".join(said.text),
                logprobs=text_logprobs(said.logprobs, offsets[index]) if with_logprobs else None,
                finish_reason=said.finish_reason,
            )
            for index, said in sorted(collected.said.items())
        ],
        usage=usage(collected.usage),
    )


def usage(tokens: tuple[int, int]) -> schemas.Usage:
    """Tokens read and written."""
    read, written = tokens
    return schemas.Usage(prompt_tokens=read, completion_tokens=written, total_tokens=read + written)


def chat_logprobs(tokens: Sequence[TokenLogprob]) -> schemas.ChatLogprobs:
    """Log-probabilities as a chat answer has them."""
    content = [
        schemas.ChatLogprob(
            token=token.token,
            logprob=token.logprob,
            bytes=token.bytes,
            top_logprobs=[
                schemas.TopLogprob(token=text, logprob=logprob, bytes=raw)
                for text, logprob, raw in token.top
            ],
        )
        for token in tokens
    ]
    return schemas.ChatLogprobs(content=content)


def text_logprobs(tokens: Sequence[TokenLogprob], offset: int) -> schemas.CompletionLogprobs:
    """Log-probabilities as a completion has them; `offset` is where the first token begins."""
    offsets: list[int] = []
    for token in tokens:
        offsets.append(offset)
        offset += len(token.token)
    return schemas.CompletionLogprobs(
        tokens=[token.token for token in tokens],
        token_logprobs=[token.logprob for token in tokens],
        top_logprobs=[{text: logprob for text, logprob, _ in token.top} for token in tokens],
        text_offset=offsets,
    )
