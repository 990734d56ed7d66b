"""What a model says in OpenAI's objects: answers piece by piece."""

from collections.abc import Iterator, Sequence

from tunery.core.generation import Piece
from tunery.dialects.openai.sampling import schemas
from tunery.dialects.openai.sampling.answers import (
    Heading,
    chat_logprobs,
    text_logprobs,
    usage,
)


class ChatChunks:
    """The chunks of one streamed chat answer."""

    def __init__(self, head: Heading, *, with_usage: bool) -> None:
        """`with_usage` ends the stream with a chunk that holds the usage and no choice."""
        self._head = head
        self._with_usage = with_usage
        self._begun: set[int] = set()

    def of(self, piece: Piece) -> Iterator[schemas.ChatChunk]:
        """The chunks that `piece` becomes."""
        if piece.index not in self._begun:
            self._begun.add(piece.index)
            opening = schemas.Delta(role="assistant", content="")
            yield self._chunk(schemas.ChunkChoice(index=piece.index, delta=opening))
        if piece.text or piece.logprobs:
            yield self._chunk(
                schemas.ChunkChoice(
                    index=piece.index,
                    delta=schemas.Delta(content=piece.text),
                    logprobs=chat_logprobs(piece.logprobs) if piece.logprobs else None,
                )
            )
        if piece.finish_reason is not None:
            yield self._chunk(
                schemas.ChunkChoice(
                    index=piece.index, delta=schemas.Delta(), finish_reason=piece.finish_reason
                )
            )
        if self._with_usage and piece.usage is not None:
            yield self._chunk(tokens=usage(piece.usage))

    def _chunk(
        self, *choices: schemas.ChunkChoice, tokens: schemas.Usage | None = None
    ) -> schemas.ChatChunk:
        return schemas.ChatChunk(
            id=self._head.id,
            created=self._head.created,
            model=self._head.model,
            choices=choices,
            usage=tokens,
        )


class CompletionChunks:
    """The chunks of one streamed completion."""

    def __init__(self, head: Heading, *, with_usage: bool, offsets: Sequence[int]) -> None:
        """`offsets` are where each text begins, for log-probabilities."""
        self._head = head
        self._with_usage = with_usage
        self._offsets = list(offsets)

    def of(self, piece: Piece) -> Iterator[schemas.Completion]:
        """The chunks that `piece` becomes."""
        if piece.text or piece.logprobs or piece.finish_reason is not None:
            yield self._chunk(
                schemas.TextChoice(
                    index=piece.index,
                    text=piece.text,
                    logprobs=self._logprobs(piece) if piece.logprobs else None,
                    finish_reason=piece.finish_reason,
                )
            )
        if self._with_usage and piece.usage is not None:
            yield self._chunk(tokens=usage(piece.usage))

    def _logprobs(self, piece: Piece) -> schemas.CompletionLogprobs:
        offset = self._offsets[piece.index]
        self._offsets[piece.index] += sum(len(token.token) for token in piece.logprobs)
        return text_logprobs(piece.logprobs, offset)

    def _chunk(
        self, *choices: schemas.TextChoice, tokens: schemas.Usage | None = None
    ) -> schemas.Completion:
        return schemas.Completion(
            id=self._head.id,
            created=self._head.created,
            model=self._head.model,
            choices=choices,
            usage=tokens,
        )
