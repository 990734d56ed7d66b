"""How many tokens texts are, each counted once."""

from collections.abc import Iterable, Iterator, Sequence

from tunery.core.models import BaseModel
from tunery.core.ports import Generator

UNKNOWN_CONTEXT = 16_384
"""What is taken for the context of a model that does not say its own."""
_AT_ONCE_CHARACTERS = 2**20
"""So much text is measured in one call, or a single text that is longer."""


class Lengths:
    """Tokens of texts, and the room for them, by a base model's own tokenizer."""

    def __init__(self, generator: Generator, base: BaseModel) -> None:
        """Nothing is measured yet."""
        self._generator = generator
        self._location = base.location
        self._known: dict[str, int] = {}
        self._context: int | None = None

    @property
    def context(self) -> int:
        """The longest row that the model takes, in tokens."""
        if self._context is None:
            self._measure([])
        return self._context or UNKNOWN_CONTEXT

    def learn(self, texts: Iterable[str]) -> None:
        """Measure those of `texts` that are not known yet, in as few calls as may be."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        for batch in _batches(new):
            self._measure(batch)

    def __getitem__(self, text: str) -> int:
        """The tokens of `text`."""
        if text not in self._known:
            self._measure([text])
        return self._known[text]

    def _measure(self, texts: Sequence[str]) -> None:
        measured = self._generator.measure(self._location, texts)
        self._context = measured.context or UNKNOWN_CONTEXT
        self._known.update(zip(texts, measured.n_tokens, strict=True))


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    n_characters = 0
    for text in texts:
        if batch and n_characters + len(text) > _AT_ONCE_CHARACTERS:
            yield batch
            batch, n_characters = [], 0
        batch.append(text)
        n_characters += len(text)
    if batch:
        yield batch
