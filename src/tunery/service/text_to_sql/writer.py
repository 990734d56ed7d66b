"""SQL from a model, taken out of whatever it says around it."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tunery.core.errors import Unavailable
from tunery.core.generation import GenerationRequest
from tunery.core.models import BaseModel
from tunery.core.ports import Blobs, Generator
from tunery.service.text_to_sql.booklet import LONGEST_ANSWER

_THOUGHT = re.compile(r"^.*</think>", re.DOTALL)
_FENCED = re.compile(r"```[a-zA-Z]*[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL)
_PREFIX = re.compile(r"^\s*(?:sql|sqlite|postgresql|query|answer)(?: query)?\s*:\s*", re.IGNORECASE)
_END = re.compile(r";[ \t]*\n\s*\n")
"""A statement that ends, and an empty line before whatever else is said."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """SQL as a model wrote it; whether it runs is another question."""

    sql: str
    tokens_used: int
    """Of question and answer together."""


class SqlWriter:
    """Lets models write SQL: greedily, so that the same question gives the same answer."""

    def __init__(self, blobs: Blobs, generator: Generator) -> None:
        """`blobs` says where adapters lie."""
        self._blobs = blobs
        self._generator = generator

    def write(
        self,
        messages: Sequence[dict[str, str]],
        *,
        base: BaseModel,
        adapter: str | None,
        max_tokens: int = LONGEST_ANSWER,
        wanted: Callable[[], bool] = lambda: True,
    ) -> Written:
        """What `base`, through the adapter under that blob key, answers to `messages`.

        Raises:
            InvalidValue: the messages do not fit into the model's context.
            Unavailable: nothing can be generated now, or `wanted` says no meanwhile.
        """
        request = GenerationRequest(
            location=base.location,
            quantization=base.quantization,
            adapter=None if adapter is None else str(self._blobs.path(adapter)),
            messages=[dict(message) for message in messages],
            max_tokens=max_tokens,
            temperature=0.0,
        )
        texts: list[str] = []
        n_tokens = 0
        pieces = self._generator.generate(request)
        try:
            for piece in pieces:
                texts.append(piece.text)
                n_tokens += sum(piece.usage or ())
                if not wanted():
                    raise Unavailable("Nobody waits for this SQL any more.")
        finally:
            pieces.close()
        return Written(sql=sql_in("".join(texts)), tokens_used=n_tokens)


def sql_in(answer: str) -> str:
    """The SQL in a model's answer, without fences, prefixes and the last semicolon."""
    said = _THOUGHT.sub("", answer)
    fenced = _FENCED.search(said)
    sql = _PREFIX.sub("", fenced[1] if fenced else said).strip()
    return _END.split(sql, maxsplit=1)[0].rstrip("; \t\n")
