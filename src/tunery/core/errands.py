"""What is to be done because something durable happened, kept in the same transaction (I5)."""

from dataclasses import dataclass
from typing import Literal

from tunery.core.webhooks import Notice

ErrandKind = Literal["draw", "tell"]


@dataclass(frozen=True, kw_only=True)
class Errand:
    """Something to do: an image to draw, or somebody to tell. Leased to whoever takes it."""

    id: str
    """`errand_` and 24 hexadecimal digits; it stays the same however often it is tried."""
    project_id: str
    kind: ErrandKind
    subject: str
    """The id of what it is about: an image generation, or what a notice tells of."""
    notice: Notice | None = None
    """What to tell, where `kind` is "tell"."""
    n_attempts: int = 0
    """How often it was taken, this time included; also the token of its lease."""
