"""Who is told when something is over, and what."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

Outcome = Literal["succeeded", "failed", "cancelled"]


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """Where to tell of an end, in the words of the door that asked for it."""

    door: str
    url: str
    secret: str | None = field(default=None, repr=False)
    """Sealed, and bound to the id of what is told of."""
    link_base: str | None = None
    """What the links in it begin with, such as `https://tunery.example.com`."""


@dataclass(frozen=True, kw_only=True)
class Notice:
    """What is to be told: how `subject` ended."""

    webhook: Webhook
    project_id: str
    subject: str
    """The id of a fine-tuning job or of an image generation."""
    outcome: Outcome
    happened_at: datetime
    message: str | None = None
    """Why, where it did not succeed."""
    code: str | None = None
    """The job's error code, if it has one."""
