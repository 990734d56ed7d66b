"""What a pass is to learn from: sequences of tokens, alone or two that begin alike.

Nothing here is padded or laid out yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol, TypeVar

import torch
from torch import Tensor

if TYPE_CHECKING:
    from tunery.modeling.adapter import Adapter


@dataclass(frozen=True, kw_only=True, eq=False)
class Segment:
    """One sequence to learn from. Position `i` predicts token `i + 1`.

    Attributes:
        ids: `(n,)` token ids.
        learn: `(n,)` whether a token is taught. The first never is: nothing stands before it.
        adapter: the adapter that learns; `None` is the base as it is.
    """

    ids: Tensor
    learn: Tensor
    adapter: Adapter | None = None

    @cached_property
    def n_rows(self) -> int:
        """Rows that a pass needs: what stands after the last taught token is not looked at."""
        return int(self.taught[-1]) + 1 if len(self.taught) else 0

    @cached_property
    def n_taught(self) -> int:
        """Tokens that are taught."""
        return len(self.taught)

    @cached_property
    def taught(self) -> Tensor:
        """`(n_taught,)` the rows whose next token is taught."""
        return self.learn[1:].nonzero()[:, 0]

    @property
    def lines(self) -> tuple[Line, ...]:
        """Itself, in rows of its own."""
        return (Line(self, torch.arange(self.n_rows), 0),)


@dataclass(frozen=True, kw_only=True, eq=False)
class Fork:
    """Two sequences that begin alike: the tokens that they share are the same rows.

    Attributes:
        first: all of its rows come first.
        second: its own rows follow, and go on from the last that it shares with the first.
    """

    first: Segment
    second: Segment

    @property
    def adapter(self) -> Adapter | None:
        """Of both."""
        return self.first.adapter

    @cached_property
    def n_shared(self) -> int:
        """Rows that both see."""
        n = min(self.first.n_rows, self.second.n_rows)
        other = (self.first.ids[:n] != self.second.ids[:n]).nonzero()
        return int(other[0]) if len(other) else n

    @property
    def n_rows(self) -> int:
        """Rows that a pass needs."""
        return self.first.n_rows + self.second.n_rows - self.n_shared

    @property
    def n_taught(self) -> int:
        """Tokens that are taught, of both."""
        return self.first.n_taught + self.second.n_taught

    @cached_property
    def lines(self) -> tuple[Line, ...]:
        """Both, the second with the first one's rows where they begin."""
        n = self.first.n_rows
        own = torch.arange(n, self.n_rows)
        return (
            Line(self.first, torch.arange(n), 0),
            Line(self.second, torch.cat((torch.arange(self.n_shared), own)), self.n_shared),
        )


@dataclass(frozen=True)
class Line:
    """One sequence, in the rows of its segment or fork.

    Attributes:
        segment: its tokens.
        rows: `(n_rows,)` where each of them stands.
        n_repeated: how many at the beginning are another sequence's too, which comes before.
    """

    segment: Segment
    rows: Tensor
    n_repeated: int


class Sized(Protocol):
    """A segment, or several that stay together."""

    @property
    def n_rows(self) -> int:
        """Rows that a pass needs."""


Item = TypeVar("Item", bound=Sized)


def micro_batches(
    items: Iterable[Item], *, max_rows: int, grid: bool = False
) -> Iterator[list[Item]]:
    """Cut one step into lists of at most `max_rows` rows each, the longest items first.

    What cannot fit so fails at once and not in the last hour. An item longer than `max_rows` is a
    list of its own. With `grid`, rows are counted as padded to the longest of the list.
    """
    batch: list[Item] = []
    rows = 0
    for item in sorted(items, key=lambda item: item.n_rows, reverse=True):
        cost = batch[0].n_rows if grid and batch else item.n_rows
        if batch and rows + cost > max_rows:
            yield batch
            batch, rows, cost = [], 0, item.n_rows
        batch.append(item)
        rows += cost
    if batch:
        yield batch
