"""Steps over some of a job's own rows, which change nothing, to see how long they take."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path

import torch

from tunery.core.progress import PreflightRequest
from tunery.modeling.adapter import Adapter
from tunery.modeling.base import Base
from tunery.modeling.chat import Chat
from tunery.modeling.optimizer import AdamW
from tunery.modeling.segments import Segment
from tunery.trainers.budget import Budget
from tunery.trainers.company import alone
from tunery.trainers.text_data import read_rows
from tunery.trainers.text_sft import Step, learn

_MOST_ROWS = 2048


def some_rows(
    request: PreflightRequest, chat: Chat, adapter: Adapter, *, n_rows: int, room: int, context: int
) -> list[Segment]:
    """The first rows of the training file, as many as `n_rows` and as fill `room` tokens."""
    rows = read_rows(Path(request.training_file), chat, "training")
    segments: list[Segment] = []
    # A preference costs in a step what its two sequences cost.
    for sequence in chain.from_iterable(row.sequences for row in rows):
        if len(segments) == n_rows or room <= 1:
            break
        if any(sequence.learn[1:context]):
            n = min(room, context)
            ids, learn = (torch.tensor(x[:n]) for x in (sequence.ids, sequence.learn))
            learn[-1] = True  # a row that was cut short still has something to learn
            segments.append(Segment(ids=ids, learn=learn, adapter=adapter))
            room -= len(ids)
    return segments


def steps(base: Base, adapter: Adapter, segments: list[Segment]) -> Iterator[float]:
    """Take a step over `segments` after the other, forward, backward and update: seconds of each.

    The first takes longer, as it warms up.
    """
    learning = learn(AdamW(adapter), repeat(segments), _no_rate, Budget(_MOST_ROWS))
    for said in alone(base, learning):
        if isinstance(said, Step):
            yield said.seconds


def _no_rate(step: int) -> float:
    """A step of this length changes nothing."""
    return 0.0
