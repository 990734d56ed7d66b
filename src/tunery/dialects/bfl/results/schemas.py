"""The state of a task on the wire."""

import msgspec

from tunery.dialects.bfl.answers import Status


class Tuned(msgspec.Struct, frozen=True, kw_only=True):
    """What a finetune has come to."""

    finetune_id: str


class Drawn(msgspec.Struct, frozen=True, kw_only=True):
    """What an image has come to. Times are Unix seconds."""

    sample: str
    prompt: str
    seed: int
    start_time: float | None
    end_time: float | None
    duration: float | None


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """Why a task has come to nothing."""

    message: str


class ResultResponse(msgspec.Struct, frozen=True, kw_only=True):
    """How a task stands."""

    id: str
    status: Status
    result: Tuned | Drawn | None = None
    progress: float | None = None
    details: Trouble | None = None
    preview: None = None
