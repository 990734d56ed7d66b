"""What is kept, and how a list of it is paged."""

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from tunery.core.access import ApiKey
from tunery.core.errands import Errand
from tunery.core.events import Checkpoint, Event
from tunery.core.files import File, Upload, UploadPart
from tunery.core.image_generations import ImageGeneration
from tunery.core.job import FineTuningJob
from tunery.core.models import FineTunedModel
from tunery.core.pages import NumberedItems, NumberedPage, Page, PageRequest
from tunery.core.ports import Clock
from tunery.store.record import Record

Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a create call with an idempotency key was answered."""

    request_hash: bytes
    at: datetime
    job: FineTuningJob


@dataclass(frozen=True, kw_only=True)
class KeptErrand:
    """An errand, and when it may be taken."""

    errand: Errand
    due_at_us: int
    lease_until_us: int | None = None
    """None where nobody has it."""


@dataclass
class State:
    """Everything, in the order in which it came. Whoever reads or writes holds the lock."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    projects: dict[str, str] = field(default_factory=dict)
    """The organisation of each."""
    service_accounts: dict[str, str] = field(default_factory=dict)
    """The name of each, by its user id."""
    keys: dict[str, ApiKey] = field(default_factory=dict)
    files: dict[str, File] = field(default_factory=dict)
    deleted_files: set[str] = field(default_factory=set)
    uploads: dict[str, Upload] = field(default_factory=dict)
    parts: dict[str, list[UploadPart]] = field(default_factory=dict)
    """By upload."""
    jobs: dict[str, Record] = field(default_factory=dict)
    events: dict[str, list[Event]] = field(default_factory=dict)
    """By job."""
    checkpoints: dict[str, Checkpoint] = field(default_factory=dict)
    retired: set[str] = field(default_factory=set)
    models: list[FineTunedModel] = field(default_factory=list)
    answers: dict[tuple[str, str], Answer] = field(default_factory=dict)
    """By project and idempotency key."""
    image_generations: dict[str, ImageGeneration] = field(default_factory=dict)
    errands: dict[str, KeptErrand] = field(default_factory=dict)


class Part:
    """The base of each part of the store."""

    def __init__(self, state: State, clock: Clock) -> None:
        """All parts share `state`."""
        self._state = state
        self._clock = clock


def page_of(
    items: Iterable[Item],
    request: PageRequest,
    *,
    name: Callable[[Item], str],
    shown: Callable[[Item], bool] = lambda _: True,
) -> Page[Item]:
    """Up to `limit` of those shown, behind the item that `after` names, shown or not."""
    ordered = list(items) if request.ascending else list(items)[::-1]
    if request.after is not None:
        names = [name(item) for item in ordered]
        if request.after not in names:
            return Page(())
        ordered = ordered[names.index(request.after) + 1 :]
    found = [item for item in ordered if shown(item)]
    limit = max(request.limit, 0)
    return Page(tuple(found[:limit]), has_more=0 < limit < len(found))


def numbered(items: Sequence[Item], page: NumberedPage) -> NumberedItems[Item]:
    """The newest first, of `items` in the order in which they came."""
    newest_first = items[::-1]
    shown = newest_first[page.offset : page.offset + page.limit]
    return NumberedItems(tuple(shown), total=len(items))
