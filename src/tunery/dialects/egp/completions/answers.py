"""What a model says in Scale's objects: whole answers, and answers piece by piece."""

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import UNSET, UnsetType

from tunery.core.generation import Piece, TokenLogprob
from tunery.dialects.egp.completions import schemas
from tunery.dialects.pieces import Collected


def deployment_answer(collected: Collected) -> schemas.CompletionObject:
    """The whole answer of a deployment."""
    said = collected.said[0]
    read, written = collected.usage
    return schemas.CompletionObject(
        completions=[["".join(said.text)]],
        choices=_choices(said.logprobs) if said.logprobs else UNSET,
        finish_reason=said.finish_reason,
        prompt_tokens=read,
        response_tokens=written,
    )


def deployment_chunks(piece: Piece) -> Iterator[schemas.CompletionObject]:
    """What `piece` becomes in the stream of a deployment's answer."""
    if not _is_silent(piece):
        yield schemas.CompletionObject(**_new(piece))


def completion_answer(collected: Collected) -> schemas.ModelCompletionObject:
    """The whole answer to a completion by a model's name."""
    said = collected.said[0]
    return schemas.ModelCompletionObject(
        completion=schemas.Completion(text="".join(said.text), finish_reason=said.finish_reason),
        token_usage=_usage(collected.usage),
    )


def completion_chunks(piece: Piece) -> Iterator[schemas.ModelCompletionChunk]:
    """What `piece` becomes in the stream of a completion."""
    if not _is_silent(piece):
        said = schemas.Completion(text=piece.text, finish_reason=piece.finish_reason or UNSET)
        yield schemas.ModelCompletionChunk(
            **_new(piece), completion=said, token_usage=_usage_of(piece)
        )


def chat_answer(collected: Collected) -> schemas.ModelChatObject:
    """The whole answer to a chat by a model's name."""
    said = collected.said[0]
    return schemas.ModelChatObject(
        chat_completion=schemas.Chat(
            message=schemas.Message(content="".join(said.text)), finish_reason=said.finish_reason
        ),
        token_usage=_usage(collected.usage),
    )


def chat_chunks(piece: Piece) -> Iterator[schemas.ModelChatChunk]:
    """What `piece` becomes in the stream of a chat answer."""
    if not _is_silent(piece):
        said = schemas.Chat(
            message=schemas.Message(content=piece.text),
            finish_reason=piece.finish_reason or UNSET,
        )
        yield schemas.ModelChatChunk(
            **_new(piece), chat_completion=said, token_usage=_usage_of(piece)
        )


def _new(piece: Piece) -> dict[str, Any]:
    """The fields of every chunk."""
    read, written = piece.usage or (UNSET, UNSET)
    return {
        "completions": [[piece.text]],
        "choices": _choices(piece.logprobs) if piece.logprobs else UNSET,
        "finish_reason": piece.finish_reason or UNSET,
        "prompt_tokens": read,
        "response_tokens": written,
    }


def _is_silent(piece: Piece) -> bool:
    """Whether there is nothing in it that a stream would tell."""
    return not (piece.text or piece.logprobs or piece.finish_reason or piece.usage)


def _choices(tokens: Sequence[TokenLogprob]) -> Sequence[schemas.Choice]:
    content = [
        schemas.TokenLogprob(
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
    return [schemas.Choice(index=0, logprobs=schemas.Logprobs(content=content))]


def _usage(tokens: tuple[int, int]) -> schemas.TokenUsage:
    read, written = tokens
    return schemas.TokenUsage(prompt=read, completion=written, total=read + written)


def _usage_of(piece: Piece) -> schemas.TokenUsage | UnsetType:
    return UNSET if piece.usage is None else _usage(piece.usage)
