"""The base models and adapters that are in memory: the few used last."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from tunery.core.models import Quantization
from tunery.modeling.adapter import Adapter, load_adapter
from tunery.modeling.base import Base
from tunery.modeling.chat import Chat
from tunery.modeling.endings import stop_ids
from tunery.modeling.load import load_model
from tunery.modeling.samplers import Sampler, sampler_for

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

_BASES = 2
_ADAPTERS = 16


class Recent(Generic[Key, Value]):
    """Up to `most` values; the one that was not asked for the longest makes room."""

    def __init__(self, most: int, *, let_go: Callable[[Value], object] | None = None) -> None:
        """Start empty; `let_go` is called with each value that makes room."""
        self._most = most
        self._let_go = let_go
        self._values: OrderedDict[Key, Value] = OrderedDict()

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """The value of `key`, made now if it is not here."""
        if key not in self._values:
            # Room first: two of the largest models must not have to fit beside a third.
            self._make_room()
            self._values[key] = make()
        self._values.move_to_end(key)
        return self._values[key]

    def _make_room(self) -> None:
        while len(self._values) >= self._most:
            _, oldest = self._values.popitem(last=False)
            if self._let_go is not None:
                self._let_go(oldest)


@dataclass(frozen=True, kw_only=True, eq=False)
class Speaker:
    """A base model ready to speak, through any of its adapters."""

    base: Base
    sampler: Sampler
    chat: Chat
    stop_ids: frozenset[int]
    adapters: Recent[str, Adapter]

    def adapter(self, folder: str | None) -> Adapter | None:
        """The adapter in `folder`; none is the base model itself."""
        if folder is None:
            return None
        return self.adapters.get(folder, lambda: load_adapter(self.base.places, Path(folder)))


class Shelf:
    """Base models by where they lie."""

    def __init__(self) -> None:
        """Nothing is loaded before it is asked for."""
        self._speakers: Recent[tuple[str, Quantization | None], Speaker] = Recent(_BASES)

    def speaker(self, location: str, quantization: Quantization | None = None) -> Speaker:
        """The base model at `location`, kept like that.

        Raises:
            InvalidValue: there is none.
            Unsupported: it cannot be used here.
        """
        return self._speakers.get((location, quantization), lambda: _load(location, quantization))


def _load(location: str, quantization: Quantization | None) -> Speaker:
    loaded = load_model(location, quantization=quantization)
    base, chat = Base(loaded.model), Chat(loaded.tokenizer)
    return Speaker(
        base=base,
        sampler=sampler_for(base),
        chat=chat,
        stop_ids=stop_ids(base, chat),
        adapters=Recent(_ADAPTERS),
    )
