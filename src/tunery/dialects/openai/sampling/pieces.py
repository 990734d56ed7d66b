"""Answers to several prompts as one, and the stream of an answer as OpenAI's clients read it."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
from fastapi import Response

from tunery.core.generation import Piece
from tunery.dialects import pieces as streams
from tunery.dialects.openai.errors import render
from tunery.dialects.pieces import Ends, Pieces, event

# Clients raise what stands under `error` in an event.
_ENDS = Ends(failed=lambda error: event(bytes(render(error).body)), done=event(b"[DONE]"))


def in_turn(generations: Sequence[Pieces], n: int) -> Pieces:
    """Several generations of `n` answers each as one, the answers numbered through."""
    read = written = 0
    try:
        for place, pieces in enumerate(generations):
            for piece in pieces:
                usage = piece.usage
                if usage is not None:
                    read, written = read + usage[0], written + usage[1]
                    usage = (read, written) if place == len(generations) - 1 else None
                yield msgspec.structs.replace(piece, index=place * n + piece.index, usage=usage)
    finally:
        for pieces in generations:
            pieces.close()


async def stream(
    pieces: Pieces,
    chunks: Callable[[Piece], Iterable[msgspec.Struct]],
    headers: Mapping[str, str] | None = None,
) -> Response:
    """`pieces` as server-sent chunks, up to `[DONE]`."""
    return await streams.stream(pieces, chunks, _ENDS, headers)
