"""How long texts are in tokens: a base model's tokenizer, without its weights."""

from collections.abc import Sequence
from dataclasses import dataclass

from tunery.core.generation import Measured
from tunery.inference.shelf import Recent
from tunery.modeling.chat import Chat
from tunery.modeling.folders import resolve_base
from tunery.modeling.load import context_length, load_tokenizer

_TOKENIZERS = 4


@dataclass(frozen=True, kw_only=True)
class _Gauge:
    """What a model's folder says of lengths."""

    chat: Chat
    context: int | None


class Scales:
    """Tokenizers by where their models lie, the few used last."""

    def __init__(self) -> None:
        """Nothing is loaded before it is asked for."""
        self._gauges: Recent[str, _Gauge] = Recent(_TOKENIZERS)

    def measure(self, location: str, texts: Sequence[str]) -> Measured:
        """How long `texts` are for the base model at `location`.

        Raises:
            InvalidValue: there is no such model.
            Unsupported: its tokenizer cannot be used here.
        """
        gauge = self._gauges.get(location, lambda: _loaded(location))
        return Measured(context=gauge.context, n_tokens=tuple(gauge.chat.lengths(texts)))


def _loaded(location: str) -> _Gauge:
    folder = resolve_base(location)
    return _Gauge(chat=Chat(load_tokenizer(folder)), context=context_length(folder))
